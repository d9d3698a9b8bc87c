import { RowBinaryWriter } from '../warehouse/row-binary.ts'
import type { LogRecord } from '../log/port.ts'
import type { LoggedEvent } from './event.ts'

/** An event, and where it stood in the log. */
export interface PlacedEvent {
  readonly event: LoggedEvent
  readonly record: Pick<LogRecord, 'partition' | 'offset'>
}

export const EVENTS_TABLE = 'events'
export const EVENT_COLUMNS = [
  'project',
  'collection',
  'timestamp',
  'created_at',
  'id',
  'properties',
  'body',
  'log_epoch',
  'log_partition',
  'log_offset',
] as const

export const REPEATS_TABLE = 'event_repeats'
export const REPEAT_COLUMNS = [
  'repeat_key',
  'project',
  'collection',
  'created_at',
  'log_epoch',
  'log_partition',
  'log_offset',
] as const

/** Bytes of a row besides twice its properties, roughly. */
const ROW_BYTES = 160

/** Bytes that are enough for the rows of these events, names of more than usual length aside. */
export const eventRowsBytes = (events: readonly PlacedEvent[]): number =>
  events.reduce((sum, { event }) => sum + ROW_BYTES + 2 * event.properties.length, 0)

/** Writes one row of `events`, in the order of `EVENT_COLUMNS`. */
export function writeEventRow(writer: RowBinaryWriter, epoch: string, { event, record }: PlacedEvent): void {
  writer.string(event.project)
  writer.string(event.collection)
  writer.millis(event.timestampMs)
  writer.millis(event.createdAtMs)
  writer.uuid(event.id)
  writer.bytes(event.properties)
  writer.bytes(event.properties)
  writer.string(epoch)
  writer.uint32(record.partition)
  writer.uint64(record.offset)
}

/** Rows of `event_repeats` for events that have a repeat key, in the order of `REPEAT_COLUMNS`. */
export function repeatRows(epoch: string, events: readonly PlacedEvent[]): Buffer {
  const writer = new RowBinaryWriter(events.length * ROW_BYTES)
  for (const { event, record } of events) {
    if (event.repeatKey === null) continue
    writer.fixed(event.repeatKey)
    writer.string(event.project)
    writer.string(event.collection)
    writer.millis(event.createdAtMs)
    writer.string(epoch)
    writer.uint32(record.partition)
    writer.uint64(record.offset)
  }
  return writer.finish()
}
