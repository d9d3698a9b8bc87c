import { randomUUID } from 'node:crypto'
import { AppError } from '../errors.ts'

/** An error as a caller sees it. */
export interface Failure {
  readonly status: number
  readonly body: { readonly message: string; readonly error_code: string; readonly unique_id?: string }
  readonly retryAfterS: number | undefined
}

const UNAVAILABLE = 'The service cannot take this request now. Nothing of it was lost or kept; please send it again.'

/** Fastify's own errors, by their codes, in the API's words. */
const OF_FASTIFY: Readonly<Record<string, (message: string) => AppError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new AppError('RequestEntityTooLargeError', 'The body is too large.'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new AppError('InvalidRequestError', 'The body does not have the length that its header says.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new AppError('InvalidRequestError', 'The Content-Type is not valid.'),
  FST_ERR_BAD_URL: () => new AppError('InvalidRequestError', 'The URL is not valid.'),
}

/** What an error becomes for the caller, and whether somebody has to look at it. */
export function failureOf(error: unknown): { readonly failure: Failure; readonly isBug: boolean } {
  const known = error instanceof AppError ? error : fastifyError(error)
  if (known?.policy.expose === true) {
    const { status } = known.policy
    return {
      failure: { status, body: { message: known.message, error_code: known.code }, retryAfterS: known.retryAfterS },
      isBug: false,
    }
  }
  if (known !== undefined && known.policy.status === 503) {
    const body = { message: UNAVAILABLE, error_code: 'ServiceUnavailableError' }
    return { failure: { status: 503, body, retryAfterS: known.retryAfterS ?? 1 }, isBug: false }
  }
  const body = { message: 'Something failed on our side.', error_code: 'InternalServerError', unique_id: randomUUID() }
  return { failure: { status: 500, body, retryAfterS: undefined }, isBug: true }
}

function fastifyError(error: unknown): AppError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  const named = typeof code === 'string' ? OF_FASTIFY[code]?.(error.message) : undefined
  if (named !== undefined) return named
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
    ? new AppError('InvalidRequestError', 'The request is not valid.')
    : undefined
}
