/** An accepted event as the log holds it; the fields of `schemas/avro/event.v1.avsc`. */
export interface LoggedEvent {
  readonly project: string
  readonly collection: string
  /** UUIDv7, 16 bytes. */
  readonly id: Buffer
  readonly timestampMs: number
  readonly createdAtMs: number
  /** 16 bytes; equal for repeats of one event within a collection. Null: never a repeat. */
  readonly repeatKey: Buffer | null
  /** UTF-8 JSON text, an object. */
  readonly properties: Buffer
}

/**
 * An event where it stands in a message of the current schema, for who only copies it onwards: positions in `bytes` take a
 * fraction of the time and memory that views take.
 */
export interface FramedEvent extends Pick<LoggedEvent, 'project' | 'collection' | 'timestampMs' | 'createdAtMs'> {
  readonly bytes: Buffer
  /** Of 16 bytes. */
  readonly idAt: number
  /** Of 16 bytes; -1 when it has none. */
  readonly repeatKeyAt: number
  /** Its properties reach from here to the end of `bytes`. */
  readonly propertiesAt: number
}

/** A later event with the repeat key of an earlier, stored one is dropped when it was received within this time of it. */
export const REPEAT_WINDOW_MS = 31 * 86_400_000

/** An event's id as it is shown: a UUID's 32 hex digits with dashes. */
export function idText(id: Buffer): string {
  const hex = id.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
