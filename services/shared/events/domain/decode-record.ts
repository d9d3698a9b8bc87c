import type { LoggedEvent } from '../event.ts'
import type { LogRecord } from '../../log/port.ts'

/** Why a record of the events' topic is no event that can be stored anywhere: a function of its bytes. */
export type UnusableReason = 'empty' | 'not_avro' | 'unknown_schema' | 'malformed' | 'time_out_of_range'

type Timed = Pick<LoggedEvent, 'timestampMs' | 'createdAtMs'>

export interface DecodedEvent<E extends Timed = LoggedEvent> {
  readonly record: LogRecord
  readonly event: E
}

export interface UnusableRecord {
  readonly record: LogRecord
  readonly reason: UnusableReason
}

/** What `DateTime64(3)` holds: from 1900 to 2299. */
const TIME_MIN_MS = Date.UTC(1900, 0, 1)
const TIME_MAX_MS = Date.UTC(2299, 11, 31, 23, 59, 59, 999)

const isStorable = (ms: number): boolean => ms >= TIME_MIN_MS && ms <= TIME_MAX_MS

export type DecodeEvent<E extends Timed = LoggedEvent> = (bytes: Buffer) => E
export type ReasonOf = (error: unknown) => 'not_avro' | 'unknown_schema' | 'malformed' | undefined

/** One record becomes an event, or one that cannot be used, by its bytes alone. Errors that do not speak of the bytes pass. */
export function decodeRecord<E extends Timed>(
  record: LogRecord,
  decode: DecodeEvent<E>,
  reasonOf: ReasonOf,
): DecodedEvent<E> | UnusableRecord {
  if (record.value === null || record.value.length === 0) return { record, reason: 'empty' }
  let event: E
  try {
    event = decode(record.value)
  } catch (error) {
    const reason = reasonOf(error)
    if (reason === undefined) throw error
    return { record, reason }
  }
  if (!isStorable(event.timestampMs) || !isStorable(event.createdAtMs)) return { record, reason: 'time_out_of_range' }
  return { record, event }
}
