import type { LogRecord, ReadOptions } from '../port.ts'
import { recordsOf } from './chunk.ts'
import { endsOf, type ChunkKey, type Store } from './store.ts'

/** Bytes that readers keep between two reads, counted over all that share it. */
export interface ReadAheadBudget {
  readonly bytesMax: number
  bytes: number
}

export const payloadBytes = (record: LogRecord): number => (record.key?.length ?? 0) + (record.value?.length ?? 0)

/**
 * Reads one partition from an offset on. What is left of the chunk it works on is kept as far as the budget goes;
 * beyond, it is read again: LMDB has it mapped anyway.
 */
export class PartitionReader {
  readonly #store: Store
  readonly #epoch: string
  readonly #partition: number
  readonly #budget: ReadAheadBudget
  #position: number
  #rest: { readonly records: readonly LogRecord[]; next: number; readonly bytes: number } | undefined

  constructor(store: Store, at: { epoch: string; partition: number; position: number }, budget: ReadAheadBudget) {
    this.#store = store
    this.#epoch = at.epoch
    this.#partition = at.partition
    this.#position = at.position
    this.#budget = budget
  }

  /** The offset that the next record has at least. */
  get position(): number {
    return this.#position
  }

  get hasMore(): boolean {
    return this.#position < endsOf(this.#store, this.#epoch, this.#partition).end
  }

  /** What is there now, within the limits; empty when nothing is. */
  read({ maxBytes, maxRecords }: Pick<ReadOptions, 'maxBytes' | 'maxRecords'>): LogRecord[] {
    const out: LogRecord[] = []
    let bytes = 0
    while (out.length < maxRecords) {
      const chunk = this.#rest ?? this.#nextChunk()
      if (chunk === undefined) break
      while (chunk.next < chunk.records.length && out.length < maxRecords) {
        const record = chunk.records[chunk.next]
        if (record === undefined) break
        const size = payloadBytes(record)
        if (out.length > 0 && bytes + size > maxBytes) {
          this.#keep(chunk)
          return out
        }
        out.push(record)
        bytes += size
        chunk.next += 1
        this.#position = Number(record.offset) + 1
      }
      this.#keep(chunk)
      if (bytes >= maxBytes) break
    }
    return out
  }

  /** Gives its part of the budget back. */
  close(): void {
    this.#drop()
  }

  #drop(): void {
    if (this.#rest === undefined) return
    this.#budget.bytes -= this.#rest.bytes
    this.#rest = undefined
  }

  #keep(chunk: { readonly records: readonly LogRecord[]; next: number; readonly bytes: number }): void {
    if (chunk.next >= chunk.records.length) {
      this.#drop()
    } else if (this.#rest === undefined && this.#budget.bytes + chunk.bytes <= this.#budget.bytesMax) {
      this.#rest = chunk
      this.#budget.bytes += chunk.bytes
    }
  }

  /** The chunk with the next record, after the gaps that retention and compaction leave. */
  #nextChunk(): { readonly records: readonly LogRecord[]; next: number; readonly bytes: number } | undefined {
    const { chunks } = this.#store
    const { start, end } = endsOf(this.#store, this.#epoch, this.#partition)
    if (this.#position < start) this.#position = start
    if (this.#position >= end) return undefined
    const here = { end: [this.#epoch, this.#partition], reverse: true, limit: 1 }
    let from: ChunkKey = [this.#epoch, this.#partition, this.#position]
    for (const floor of chunks.getKeys({ ...here, start: from })) from = floor
    const keys = chunks.getKeys({ start: from, end: [this.#epoch, this.#partition, end] })
    for (const key of keys) {
      const chunk = chunks.getBinary(key)
      if (chunk === undefined) continue
      const records = recordsOf(chunk, this.#partition, key[2], this.#position)
      if (records.length > 0) return { records, next: 0, bytes: chunk.length }
    }
    this.#position = end // compaction took the rest
    return undefined
  }
}
