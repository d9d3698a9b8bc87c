import { AppError } from '../../errors.ts'

/** The error codes of the Kafka protocol that decide something here. */
export const CODE = {
  NONE: 0,
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  MESSAGE_TOO_LARGE: 10,
  RECORD_LIST_TOO_LARGE: 18,
  TOPIC_AUTHORIZATION_FAILED: 29,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  DUPLICATE_SEQUENCE_NUMBER: 46,
  INVALID_PRODUCER_EPOCH: 47,
  UNKNOWN_PRODUCER_ID: 59,
  INVALID_RECORD: 87,
} as const

/** Answers after which another try cannot help: somebody has to change a setting or a right. */
const FATAL = new Set([
  'CLUSTER_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'TOPIC_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'UNSUPPORTED_VERSION',
  'INCONSISTENT_GROUP_PROTOCOL',
  'INVALID_GROUP_ID',
  'INVALID_SESSION_TIMEOUT',
])

/** The protocol's name of an error, such as REBALANCE_IN_PROGRESS, wherever kafkajs put it. */
export function typeOf(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('type' in e && typeof e.type === 'string') return e.type
  }
  return undefined
}

const hasName = (error: unknown, name: string): boolean => {
  for (let e = error; e instanceof Error; e = e.cause) if (e.name === name) return true
  return false
}

/** The brokers do not know this user, or not by this mechanism or password. */
export const isLoginRefused = (error: unknown): boolean => hasName(error, 'KafkaJSSASLAuthenticationError')

export function isFatal(error: unknown): boolean {
  if (error instanceof AppError) return !error.policy.retry
  if (isLoginRefused(error) || hasName(error, 'KafkaJSServerDoesNotSupportApiKey')) return true
  const type = typeOf(error)
  return type !== undefined && FATAL.has(type)
}

/** LOG_UNAVAILABLE with its cause; an error that already has a code of ours stays what it is. */
export const unavailable = (message: string, cause: unknown, details: Record<string, unknown> = {}): AppError =>
  cause instanceof AppError
    ? cause
    : new AppError('LOG_UNAVAILABLE', message, {
        cause,
        details: { ...details, answer: typeOf(cause) },
        retryAfterS: 1,
      })
