/**
 * Every error that crosses a boundary has a code, and the code decides what happens: the HTTP status, whether the same
 * call may be tried again, and whether the message may be shown to a caller. The names in the second half are those of
 * the Keen 3.0 API; official SDKs branch on some of them (`InvalidPropertyNameError` and its two siblings tell the
 * mobile SDKs to drop an event rather than to resend it for ever).
 */
const CODES = {
  // Ours, inside.
  CONFIG_INVALID: { status: 500, retry: false, expose: false },
  LOG_UNAVAILABLE: { status: 503, retry: true, expose: false },
  LOG_BUSY: { status: 503, retry: true, expose: false },
  LOG_FENCED: { status: 500, retry: false, expose: false },
  LOG_REJECTED: { status: 500, retry: false, expose: false },
  WAREHOUSE_UNAVAILABLE: { status: 503, retry: true, expose: false },
  WAREHOUSE_REJECTED: { status: 500, retry: false, expose: false },
  BUCKET_UNAVAILABLE: { status: 503, retry: true, expose: false },
  BUCKET_REFUSED: { status: 500, retry: false, expose: false },
  BUCKET_CONFLICT: { status: 500, retry: false, expose: false },
  ARCHIVE_DAMAGED: { status: 500, retry: false, expose: false },
  SHUTTING_DOWN: { status: 503, retry: true, expose: false },

  // The HTTP API's, shown to callers by name.
  InvalidApiKeyError: { status: 401, retry: false, expose: true },
  AdminOnlyEndpointError: { status: 401, retry: false, expose: true },
  KeyNotAuthorizedError: { status: 403, retry: false, expose: true },
  ResourceNotFoundError: { status: 404, retry: false, expose: true },
  MethodNotAllowedError: { status: 405, retry: false, expose: true },
  InvalidJSONError: { status: 400, retry: false, expose: true },
  InvalidRequestError: { status: 400, retry: false, expose: true },
  InvalidCollectionNameError: { status: 400, retry: false, expose: true },
  InvalidPropertyNameError: { status: 400, retry: false, expose: true },
  InvalidPropertyValueError: { status: 400, retry: false, expose: true },
  InvalidEventError: { status: 400, retry: false, expose: true },
  InvalidBatchError: { status: 400, retry: false, expose: true },
  NamespaceTypeError: { status: 400, retry: false, expose: true },
  InvalidKeenNamespaceProperty: { status: 400, retry: false, expose: true },
  MissingRequiredRequestFieldError: { status: 400, retry: false, expose: true },
  InvalidRequestFieldError: { status: 400, retry: false, expose: true },
  InvalidTimeframeError: { status: 400, retry: false, expose: true },
  InvalidTimezoneError: { status: 400, retry: false, expose: true },
  InvalidIntervalError: { status: 400, retry: false, expose: true },
  InvalidFilterError: { status: 400, retry: false, expose: true },
  InvalidPropertyNameForGeoFilter: { status: 400, retry: false, expose: true },
  InvalidPercentileError: { status: 400, retry: false, expose: true },
  InvalidGroupByError: { status: 400, retry: false, expose: true },
  InvalidOrderByError: { status: 400, retry: false, expose: true },
  TooManyBucketsError: { status: 400, retry: false, expose: true },
  InvalidQueryNameError: { status: 400, retry: false, expose: true },
  InvalidRefreshRateError: { status: 400, retry: false, expose: true },
  InvalidSqlError: { status: 400, retry: false, expose: true },
  QueryTooLargeError: { status: 400, retry: false, expose: true },
  ExtractionTooLargeError: { status: 400, retry: false, expose: true },
  QueryTimeoutError: { status: 504, retry: false, expose: true },
  QueryConcurrencyLimitError: { status: 429, retry: true, expose: true },
  RateLimitExceededError: { status: 429, retry: true, expose: true },
  EventTooLargeError: { status: 413, retry: false, expose: true },
  RequestEntityTooLargeError: { status: 413, retry: false, expose: true },
  ServiceUnavailableError: { status: 503, retry: true, expose: true },
  InternalServerError: { status: 500, retry: false, expose: true },
} as const satisfies Record<string, { status: number; retry: boolean; expose: boolean }>

export type ErrorCode = keyof typeof CODES

export interface AppErrorOptions {
  cause?: unknown
  /** For the log line: names, numbers and codes only, never an event's body or a key. */
  details?: Readonly<Record<string, unknown>>
  /** Stands beside the message in the answer, for a caller's program. */
  shown?: Readonly<Record<string, string | number>>
  /** Seconds after which a caller should try again; becomes the header `Retry-After`. */
  retryAfterS?: number
  /** Of a limit that was reached: its value, and the seconds until there is room; becomes the headers `RateLimit-*`. */
  rateLimit?: { readonly limit: number; readonly resetS: number }
}

export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly shown: Readonly<Record<string, string | number>>
  readonly retryAfterS: number | undefined
  readonly rateLimit: { readonly limit: number; readonly resetS: number } | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
    this.shown = options.shown ?? {}
    this.retryAfterS = options.retryAfterS
    this.rateLimit = options.rateLimit
  }

  get policy(): { readonly status: number; readonly retry: boolean; readonly expose: boolean } {
    return CODES[this.code]
  }
}

/** Unknown errors are bugs: neither retried nor shown. */
export const isRetryable = (error: unknown): boolean => error instanceof AppError && error.policy.retry

/** True for an error with exactly this code. */
export const hasCode = (error: unknown, code: ErrorCode): error is AppError =>
  error instanceof AppError && error.code === code
