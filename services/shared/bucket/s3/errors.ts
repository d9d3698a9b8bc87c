import { AppError } from '../../errors.ts'
import type { BucketRefusal } from '../port.ts'

/** S3's own codes, those of servers that speak its protocol, and the SDK's for what it could not sign with. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
const REFUSALS: Readonly<Record<string, BucketRefusal>> = {
  NoSuchBucket: 'no_bucket',
  AccessDenied: 'forbidden',
  AllAccessDisabled: 'forbidden',
  AccountProblem: 'forbidden',
  InvalidAccessKeyId: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  XAdminUserNotFound: 'credentials', // Versity’s, for an access key id that it does not know
  ExpiredToken: 'credentials',
  InvalidToken: 'credentials',
  CredentialsProviderError: 'credentials',
  // A service that does not know `If-None-Match`: what it is asked to keep, it might replace.
  NotImplemented: 'invalid',
  QuotaExceeded: 'quota',
  XMinioAdminBucketQuotaExceeded: 'quota',
}

/** 4xx that another try may mend: too many at once, too slow, a clock that is off, an upload that is gone because it was completed. */
const PASSING: ReadonlySet<string> = new Set([
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'OperationAborted',
  'ConditionalRequestConflict',
  'NoSuchUpload',
  'SlowDown',
  'TooManyRequests',
  'BadDigest',
  'IncompleteBody',
])

interface S3Like {
  readonly name?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

export const statusOf = (error: unknown): number | undefined => (error as S3Like).$metadata?.httpStatusCode

/** What S3 said, in the port's words. */
export function asBucketError(error: unknown): AppError {
  if (error instanceof AppError) return error
  const name = (error as S3Like).name ?? ''
  const status = statusOf(error) ?? 0
  const options = (reason?: BucketRefusal) => ({ cause: error, details: { name, status, ...(reason && { reason }) } })
  if (status === 412 || name === 'PreconditionFailed') {
    return new AppError('BUCKET_CONFLICT', 'There is such an object.', options())
  }
  const named = REFUSALS[name]
  if (named !== undefined) return new AppError('BUCKET_REFUSED', `The bucket refused: ${name}.`, options(named))
  if (((status >= 300 && status < 500) || status === 501) && ![408, 409, 429].includes(status) && !PASSING.has(name)) {
    const reason = status === 403 ? 'forbidden' : status === 401 ? 'credentials' : 'invalid'
    return new AppError('BUCKET_REFUSED', `The bucket refused: ${name}.`, options(reason))
  }
  return new AppError('BUCKET_UNAVAILABLE', 'The bucket gave no definite answer.', options())
}
