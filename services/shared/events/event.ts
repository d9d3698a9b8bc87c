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

/** A later event with the repeat key of an earlier, stored one is dropped when it was received within this time of it. */
export const REPEAT_WINDOW_MS = 31 * 86_400_000

/** An event's id as it is shown: a UUID's 32 hex digits with dashes. */
export function idText(id: Buffer): string {
  const hex = id.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
