import { AppError, type ErrorCode } from '../errors.ts'

export interface ErrorAnswer {
  readonly status: number
  readonly body: { readonly message: string; readonly error_code: string; readonly unique_id?: string }
  readonly retryAfterS: number | undefined
  /** Nobody foresaw it: a bug, or a fault inside that no retry heals. Worth a log line at level error. */
  readonly isFault: boolean
}

const RETRY_AFTER_S = 2

const answer = (code: ErrorCode, message: string, retryAfterS?: number): ErrorAnswer => ({
  status: new AppError(code, message).policy.status,
  body: { message, error_code: code },
  retryAfterS,
  isFault: false,
})

/** The status of an error that the framework made itself, when it blames the request. */
function blamedStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined
  const { statusCode } = error
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined
}

/**
 * What a caller is told about an error: its code and message when they are meant for callers; that the service is
 * away when a retry may help; else nothing but an id (`requestId`) to ask the operator about.
 */
export function errorAnswer(error: unknown, requestId: string): ErrorAnswer {
  if (error instanceof AppError) {
    const { expose, retry } = error.policy
    const retryAfterS = error.retryAfterS ?? (retry ? RETRY_AFTER_S : undefined)
    if (expose && error.code !== 'InternalServerError') {
      const { body, ...rest } = answer(error.code, error.message, retryAfterS)
      return { ...rest, body: { ...error.shown, ...body } }
    }
    if (retry) return answer('ServiceUnavailableError', 'The service cannot take this request now.', retryAfterS)
  }
  const blamed = blamedStatus(error)
  if (blamed === 413) return answer('RequestEntityTooLargeError', 'The request is too large.')
  if (blamed !== undefined) return answer('InvalidRequestError', 'The request is malformed.')
  return {
    status: 500,
    body: { message: 'Internal server error.', error_code: 'InternalServerError', unique_id: requestId },
    retryAfterS: undefined,
    isFault: true,
  }
}
