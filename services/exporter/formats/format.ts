import type { BlockPacker } from './block-packer.ts'

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
 * alphabetical order); for counters and manifests. Avro holds the events' own text: for it, it is empty.
 */
export type Kept = Readonly<Record<string, number>>

/**
 * Columns that a file has whether or not its events do, and kinds of values (bits of `value-kind.ts`) that count into their types:
 * by their dotted names. So that the files of one collection look alike.
 */
export type KnownColumns = ReadonlyMap<string, number>
export const NO_COLUMNS: KnownColumns = new Map()

interface NamedFormat {
  readonly name: FormatName
  /** Without a leading dot: `jsonl.gz`. */
  readonly extension: string
  readonly contentType: string
}

/** Writes an event as the lines of a file have it, each of one event alone: as soon as it is there, and wherever it is told to. */
export interface LineWriter {
  /** More than the event's line takes. */
  bytesMax(event: FileEvent): number
  /** Writes the line and its line break at `at`; returns where it ends. */
  write(target: Buffer, at: number, event: FileEvent): number
}

interface LineFormat extends NamedFormat {
  readonly hasColumns: false
  readonly lines: LineWriter
}

/** A format whose lines are packed block by block, as they come, so that what waits is packed. */
export interface BlockFormat extends LineFormat {
  readonly kind: 'blocks'
  /** A new one for each file. */
  readonly packer: () => BlockPacker
}

/** A format whose lines are packed when all of them are there. */
export interface StreamFormat extends LineFormat {
  readonly kind: 'stream'
  /**
   * The file's bytes, a function of the lines and not of how they are cut. Nothing is read before the first chunk is asked for.
   * Rejects with what `lines` throws.
   */
  pack(lines: AsyncIterable<Buffer>): AsyncIterable<Buffer>
}

/** A format that is made of all events of a file together. */
export interface WholeFormat extends NamedFormat {
  readonly kind: 'whole'
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

export type FileFormat = BlockFormat | StreamFormat | WholeFormat
