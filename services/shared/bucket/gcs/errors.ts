import { AppError } from '../../errors.ts'
import type { BucketRefusal } from '../port.ts'

interface GcsLike {
  readonly code?: unknown
  readonly message?: string
  readonly errors?: readonly { readonly reason?: string }[]
}

/** An answer of 400 and more. */
export class GcsError extends Error {
  override readonly name = 'GcsError'
  readonly code: number
  readonly errors: readonly { readonly reason?: string }[]

  constructor(code: number, message: string, errors: GcsError['errors']) {
    super(message)
    this.code = code
    this.errors = errors
  }

  /** The body is JSON, and has a list of reasons; but what stands in front of the service may answer in its stead. */
  static of(code: number, body: string): GcsError {
    try {
      const { error } = JSON.parse(body) as { error?: { message?: string; errors?: GcsError['errors'] } }
      return new GcsError(code, error?.message ?? `${code}`, Array.isArray(error?.errors) ? error.errors : [])
    } catch {
      return new GcsError(code, body.slice(0, 500), [])
    }
  }
}

/** The HTTP status of an answer; undefined when there was none. */
export const statusOf = (error: unknown): number | undefined => {
  const code = Number((error as GcsLike).code)
  return Number.isInteger(code) ? code : undefined
}

/** For a 404 that was found to be the bucket's. */
export const noBucket = (cause: unknown): AppError =>
  new AppError('BUCKET_REFUSED', 'There is no such bucket.', { cause, details: { status: 404, reason: 'no_bucket' } })

export const isNoBucket = (error: Error): boolean =>
  error instanceof AppError && error.details['reason'] === 'no_bucket'

/** https://cloud.google.com/storage/docs/json_api/v1/status-codes */
function refusalOf(error: unknown, status: number): BucketRefusal | undefined {
  const { message = '', errors = [] } = error as GcsLike
  if (/invalid_grant|Could not load the default credentials|DECODER routines/.test(message)) return 'credentials'
  if (errors.some(({ reason }) => reason === 'quotaExceeded')) return 'quota'
  switch (status) {
    case 401:
      return 'credentials'
    case 403:
      return errors.some(({ reason }) => reason?.endsWith('LimitExceeded')) ? undefined : 'forbidden'
    case 408:
    case 409:
    case 429:
      return undefined
    default:
      return (status >= 400 && status < 500) || status === 501 ? 'invalid' : undefined
  }
}

/** What Cloud Storage said, in the port's words. */
export function asBucketError(error: unknown): AppError {
  if (error instanceof AppError) return error
  const status = statusOf(error) ?? 0
  const options = (reason?: BucketRefusal) => ({ cause: error, details: { status, ...(reason && { reason }) } })
  if (status === 412) return new AppError('BUCKET_CONFLICT', 'There is such an object.', options())
  const reason = refusalOf(error, status)
  if (reason !== undefined) return new AppError('BUCKET_REFUSED', `The bucket refused: ${reason}.`, options(reason))
  return new AppError('BUCKET_UNAVAILABLE', 'The bucket gave no definite answer.', options())
}
