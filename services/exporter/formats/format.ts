/** An event as a file holds it. */
export interface FileEvent {
  /** UUID text. */
  readonly id: string
  readonly timestampMs: number
  readonly createdAtMs: number
  /** UTF-8 JSON text, an object with each key once. */
  readonly properties: Buffer
}

/** Events in their order, in batches, which can be gone through more than once: some formats look for their columns first. */
export type FileEvents = () => AsyncIterable<readonly FileEvent[]>

export type FormatName = 'jsonl.gz' | 'jsonl.zst' | 'csv.gz' | 'avro' | 'parquet'

/**
 * How many values a format could not say in its own way and kept as text, by reason (`KeptReason`; those that occurred, in
 * alphabetical order); for counters and manifests. JSON lines and Avro hold the events' own text: for them it is empty.
 */
export type Kept = Readonly<Record<string, number>>

/**
 * Columns that a file has whether or not its events do, and kinds of values (bits of `value-kind.ts`) that count into their types:
 * by their dotted names. So that the files of one collection look alike.
 */
export type KnownColumns = ReadonlyMap<string, number>
export const NO_COLUMNS: KnownColumns = new Map()

export interface FileFormat {
  readonly name: FormatName
  /** Without a leading dot: `jsonl.gz`. */
  readonly extension: string
  readonly contentType: string
  /** Whether a file has columns, so that it matters which are known before. */
  readonly hasColumns: boolean
  /**
   * The file's bytes, a function of the events and of `known` alone: no clock, no chance. Memory does not grow with the number of events
   * (a Parquet row group at a time, and some 100 bytes for each of its columns until the end). `keep` is told once, after
   * the last byte, what was kept as text. Nothing is read before the first chunk is asked for. Rejects with what `events`
   * throws, and with InternalServerError when `events` gives other events the second time.
   */
  encode(events: FileEvents, keep?: (kept: Kept) => void, known?: KnownColumns): AsyncIterable<Buffer>
}
