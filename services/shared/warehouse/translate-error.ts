import { ClickHouseError } from '@clickhouse/client'
import { AppError } from '../errors.ts'
import type { ReadLimits } from './port.ts'

/**
 * Codes that an insert's own bytes can cause, and that the same bytes cause again. Everything else may pass when it is
 * tried later (a full disk, a missing table, a wrong password: somebody repairs them), so it is retried, never dropped.
 */
const ROW_CODES: ReadonlySet<number> = new Set([
  6, // CANNOT_PARSE_TEXT
  15, // DUPLICATE_COLUMN
  25, // CANNOT_PARSE_ESCAPE_SEQUENCE
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  36, // BAD_ARGUMENTS
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  128, // TOO_LARGE_ARRAY_SIZE
  131, // TOO_LARGE_STRING_SIZE
  306, // TOO_DEEP_RECURSION
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
  407, // DECIMAL_OVERFLOW
  441, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
  467, // CANNOT_PARSE_BOOL
])

/** Codes of a read that say: not now, or not this server. Unknown table and the like are here because migrations may be running. */
const AWAY_CODES: ReadonlySet<number> = new Set([
  60, // UNKNOWN_TABLE
  81, // UNKNOWN_DATABASE
  202, // TOO_MANY_SIMULTANEOUS_QUERIES
  209, // SOCKET_TIMEOUT
  210, // NETWORK_ERROR
  225, // NO_ZOOKEEPER
  236, // ABORTED
  242, // TABLE_IS_READ_ONLY
  243, // NOT_ENOUGH_SPACE
  279, // ALL_CONNECTION_TRIES_FAILED
  394, // QUERY_WAS_CANCELLED
  516, // AUTHENTICATION_FAILED
  519, // NO_REPLICAS
  999, // KEEPER_EXCEPTION
])

const TIMEOUT_CODES: ReadonlySet<number> = new Set([159, 160]) // TIMEOUT_EXCEEDED, TOO_SLOW

/** Of a function that did not take its arguments: what it is called. */
const functionOf = (error: ClickHouseError): string | undefined =>
  /\bfunction [`']?([A-Za-z_]\w{0,63})\b/i.exec(error.message)?.[1]

const named = (error: ClickHouseError) => ({
  details: { clickhouseCode: Number(error.code), clickhouseType: error.type, clickhouseFunction: functionOf(error) },
})

/** The server's own words may hold SQL or a piece of an event, so an AppError takes over its code and its type alone. */
function away(error: unknown): AppError {
  if (error instanceof ClickHouseError) {
    return new AppError('WAREHOUSE_UNAVAILABLE', 'The warehouse cannot do this now.', named(error))
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const text = error instanceof Error ? error.message.slice(0, 120) : 'unknown'
  // Errors of the client and of the socket ("Timeout error.", "connect ECONNREFUSED"); none of them holds SQL.
  return new AppError('WAREHOUSE_UNAVAILABLE', 'The warehouse does not answer.', { details: { code, text } })
}

/** An insert's or a command's error: WAREHOUSE_REJECTED when these rows will never be taken, else WAREHOUSE_UNAVAILABLE. */
export function writeError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (error instanceof ClickHouseError && ROW_CODES.has(Number(error.code))) {
    return new AppError('WAREHOUSE_REJECTED', 'The warehouse does not take these rows.', named(error))
  }
  return away(error)
}

function tooLarge(error: ClickHouseError, limits: ReadLimits): AppError | undefined {
  const refuse = (what: string, limit: number): AppError =>
    new AppError('QueryTooLargeError', `The query ${what} (limit ${limit}).`, { details: { limit } })
  switch (Number(error.code)) {
    case 158: // TOO_MANY_ROWS
      return refuse('would read too many events: narrow its timeframe or its filters', limits.rowsToRead)
    case 307: // TOO_MANY_BYTES
      return refuse('returns too many bytes', limits.resultBytes)
    case 396: // TOO_MANY_ROWS_OR_BYTES
      return error.message.includes('max bytes')
        ? refuse('returns too many bytes', limits.resultBytes)
        : refuse('returns too many rows', limits.resultRows)
    case 241: // MEMORY_LIMIT_EXCEEDED: of this query, or of the whole server, which is not the query's fault
      return error.message.includes('(total)')
        ? undefined
        : refuse('needs too much memory: narrow its timeframe or group by fewer values', limits.memoryBytes)
    default:
      return undefined
  }
}

/** A read's error under its limits. */
export function readError(error: unknown, limits: ReadLimits): AppError {
  if (error instanceof AppError) return error
  if (!(error instanceof ClickHouseError)) return away(error)
  const code = Number(error.code)
  if (TIMEOUT_CODES.has(code)) {
    return new AppError('QueryTimeoutError', `The query took longer than ${limits.executionS} seconds.`, {
      details: { limit: limits.executionS },
    })
  }
  const large = tooLarge(error, limits)
  if (large !== undefined) return large
  if (code === 241 || AWAY_CODES.has(code)) return away(error)
  return new AppError('WAREHOUSE_REJECTED', 'The warehouse refuses this query.', named(error))
}
