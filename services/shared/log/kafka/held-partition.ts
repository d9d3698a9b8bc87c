import type { LogRecord, ReadOptions } from '../port.ts'
import type { Cursor } from './fetch-loop.ts'

/** What a record takes in memory beside its key and value. */
const RECORD_OVERHEAD_BYTES = 96
const REQUEST_BYTES_MAX = 2 << 20

const contentBytes = ({ key, value }: LogRecord): number => (key?.length ?? 0) + (value?.length ?? 0)
const heldBytes = (record: LogRecord): number => contentBytes(record) + RECORD_OVERHEAD_BYTES

/** Counts what all held partitions of a log have read ahead. */
export interface ReadAhead {
  bytes: number
}

/**
 * Records of one held partition, read ahead of its handler up to `bytesMax`. What comes beyond that is dropped and
 * fetched again later; a single record larger than it is kept, for want of another way on.
 */
export class HeldPartition implements Cursor {
  readonly partition: number
  position = 0n
  /** Records are wanted: a handler is at work. */
  #open = false
  #records: LogRecord[] = []
  #head = 0
  #bytes = 0
  readonly #bytesMax: number
  readonly #readAhead: ReadAhead
  readonly #wantMore: () => void
  #notify: (() => void) | undefined

  constructor(
    partition: number,
    options: { readonly bytesMax: number; readonly readAhead: ReadAhead; readonly wantMore: () => void },
  ) {
    this.partition = partition
    this.#bytesMax = options.bytesMax
    this.#readAhead = options.readAhead
    this.#wantMore = options.wantMore
  }

  open(position: bigint): void {
    this.position = position
    this.#open = true
    this.#wantMore()
  }

  close(): void {
    this.#open = false
    this.#count(-this.#bytes)
    this.#records = []
    this.#head = 0
    this.#notify?.()
  }

  /** Ends a read that waits. */
  wake(): void {
    this.#notify?.()
  }

  room(): number {
    if (!this.#open || this.#bytes > this.#bytesMax / 2) return 0
    return Math.max(Math.min(this.#bytesMax - this.#bytes, REQUEST_BYTES_MAX), 1)
  }

  take(records: readonly LogRecord[], next: bigint): bigint {
    if (!this.#open) return this.position
    for (const record of records) {
      const size = heldBytes(record)
      if (this.#bytes > 0 && this.#bytes + size > this.#bytesMax) {
        next = record.offset
        break
      }
      this.#records.push(record)
      this.#count(size)
    }
    if (this.#bytes > 0) this.#notify?.()
    return next
  }

  /** As the claim's `read`. */
  async read(options: ReadOptions, signal: AbortSignal): Promise<readonly LogRecord[]> {
    if (signal.aborted) return []
    if (this.#head === this.#records.length && options.waitMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(options.waitMs, 2 ** 31 - 1))
        this.#notify = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#notify = undefined
    }
    return signal.aborted ? [] : this.#shift(options)
  }

  #shift({ maxBytes, maxRecords }: ReadOptions): LogRecord[] {
    const taken: LogRecord[] = []
    let bytes = 0
    let held = 0
    for (; this.#head < this.#records.length && taken.length < maxRecords; this.#head += 1) {
      const record = this.#records[this.#head]
      if (record === undefined) break
      bytes += contentBytes(record)
      if (taken.length > 0 && bytes > maxBytes) break
      held += heldBytes(record)
      taken.push(record)
    }
    if (this.#head * 2 >= this.#records.length) {
      this.#records = this.#records.slice(this.#head)
      this.#head = 0
    }
    const wasFull = this.room() === 0
    this.#count(-held)
    if (wasFull && this.room() > 0) this.#wantMore()
    return taken
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#readAhead.bytes += bytes
  }
}
