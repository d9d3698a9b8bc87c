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

/** What a format could not say in its own way and kept as text, by reason; for counters and manifests. */
export type Kept = Readonly<Record<string, number>>

export interface FileFormat {
  readonly name: FormatName
  /** Without a leading dot: `jsonl.gz`. */
  readonly extension: string
  readonly contentType: string
  /**
   * The file's bytes, a function of the events alone: no clock, no chance. Memory does not grow with the number of events
   * (a Parquet row group at a time). `keep` is told once, at the end, what was kept as text.
   */
  encode(events: FileEvents, keep?: (kept: Kept) => void): AsyncIterable<Buffer>
}
