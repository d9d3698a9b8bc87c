import { statfs } from 'node:fs/promises'
import { AppError } from '../../errors.ts'
import type { LogMessage } from '../port.ts'
import { encodeChunk, storedBytes } from './chunk.ts'
import { endsOf, type ChunkKey, type Store } from './store.ts'
import { topicRow } from './topics.ts'

export interface AppendLimits {
  /** Bytes that may wait in front of the log, the write in progress included. */
  readonly queueBytesMax: number
  /** Bytes that all chunks together may take. */
  readonly storageBytesMax: number
  /** Appends stop while the disk has less than this: commits and the sweep need some room to go on. */
  readonly diskFreeBytesMin: number
}

interface Call {
  readonly epoch: string
  readonly messages: readonly LogMessage[]
  readonly bytes: number
  readonly resolve: (last: ReadonlyMap<number, bigint>) => void
  readonly reject: (error: unknown) => void
}

/** What one write adds to one partition. */
interface Lane {
  readonly epoch: string
  readonly partition: number
  readonly messages: LogMessage[]
}

interface EncodedLane {
  readonly epoch: string
  readonly partition: number
  readonly chunks: readonly { readonly bytes: Buffer; readonly first: number }[]
  readonly count: number
}

const WRITE_BYTES_MAX = 8 << 20
const CHUNK_BYTES_MAX = 512 << 10
const PAGE_BYTES = 4_096
const DISK_CHECK_MS = 1_000
export const STORED_BYTES = ['stored-bytes']
const PULSE = ['pulse']
/** Beside all topics: an epoch is never empty. */
const PROBE: ChunkKey = ['', 0, 0]
const PROBE_BYTES_MIN = 256 << 10

/** What a chunk takes on disk: small ones share a page, large ones have whole pages to themselves. */
export const diskBytes = (chunk: Buffer): number =>
  chunk.length < PAGE_BYTES / 2 ? chunk.length : Math.ceil((chunk.length + 16) / PAGE_BYTES) * PAGE_BYTES

function encodeLane({ epoch, partition, messages }: Lane, nowMs: number): EncodedLane {
  const chunks: { bytes: Buffer; first: number }[] = []
  let first = 0
  let size = 0
  for (const [i, message] of messages.entries()) {
    const bytes = storedBytes(message)
    if (i > first && size + bytes > CHUNK_BYTES_MAX) {
      chunks.push({ bytes: encodeChunk(messages.slice(first, i), nowMs), first })
      first = i
      size = 0
    }
    size += bytes
  }
  chunks.push({ bytes: encodeChunk(first === 0 ? messages : messages.slice(first), nowMs), first })
  return { epoch, partition, chunks, count: messages.length }
}

/**
 * Gathers the calls that arrive while a write is on its way to the disk into the next one, so that the cost of a flush
 * is shared by everybody who waits for it.
 */
export class AppendQueue {
  readonly #store: Store
  readonly #limits: AppendLimits
  #waiting: Call[] = []
  #bytes = 0
  #writing: Promise<void> | undefined
  /** What the last append wanted to write, if it failed. */
  #failedBytes = 0
  #diskCheckedAtMs = Number.NEGATIVE_INFINITY
  #diskFreeBytes = Number.POSITIVE_INFINITY

  constructor(store: Store, limits: AppendLimits) {
    this.#store = store
    this.#limits = limits
  }

  /** As the port's `append`. Rejects with LOG_REJECTED what can never be taken. */
  async append(topic: string, messages: readonly LogMessage[]): Promise<ReadonlyMap<number, bigint>> {
    const row = topicRow(this.#store, topic)
    let bytes = 0
    for (const message of messages) {
      const { partition } = message
      if (!Number.isInteger(partition) || partition < 0 || partition >= row.partitions) {
        throw new AppError('LOG_REJECTED', 'topic does not have this partition', { details: { topic, partition } })
      }
      if (row.compacted && message.key === null) {
        throw new AppError('LOG_REJECTED', 'a compacted topic takes no message without a key', { details: { topic } })
      }
      bytes += storedBytes(message)
    }
    if (messages.length === 0) return new Map()
    const { queueBytesMax } = this.#limits
    if (bytes > queueBytesMax) {
      throw new AppError('LOG_REJECTED', 'larger than the whole queue', { details: { topic, bytes, queueBytesMax } })
    }
    if (this.#bytes + bytes > queueBytesMax) {
      throw new AppError('LOG_BUSY', 'the queue in front of the log is full', { details: { topic }, retryAfterS: 1 })
    }
    this.#bytes += bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ epoch: row.epoch, messages, bytes, resolve, reject })
      this.#writing ??= this.#drain()
    })
  }

  /** Resolves once nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /**
   * Resolves when an append would be taken; rejects with LOG_UNAVAILABLE otherwise. After an append that failed, a
   * write of the same size decides: a small one finds a place on a disk that is full.
   */
  async probe(): Promise<void> {
    await this.#checkRoom(performance.now())
    const { chunks, counters } = this.#store
    const bytes = this.#failedBytes
    if (bytes > 0) {
      await this.#store.write(() => chunks.putSync(PROBE, Buffer.alloc(Math.max(bytes, PROBE_BYTES_MIN))))
      this.#failedBytes = 0
    }
    await this.#store.write(() => {
      chunks.removeSync(PROBE)
      counters.putSync(PULSE, Date.now())
    })
  }

  async #checkRoom(nowMs: number): Promise<void> {
    if (nowMs - this.#diskCheckedAtMs >= DISK_CHECK_MS) {
      this.#diskCheckedAtMs = nowMs
      const { bavail, bsize } = await statfs(this.#store.folder)
      this.#diskFreeBytes = bavail * bsize
    }
    if (this.#diskFreeBytes < this.#limits.diskFreeBytesMin) {
      throw new AppError('LOG_UNAVAILABLE', 'the disk of the log is nearly full', {
        details: { freeBytes: this.#diskFreeBytes },
      })
    }
    const stored = this.#store.counters.get(STORED_BYTES) ?? 0
    if (stored >= this.#limits.storageBytesMax) {
      throw new AppError('LOG_UNAVAILABLE', 'the log has reached its size limit', { details: { storedBytes: stored } })
    }
  }

  async #drain(): Promise<void> {
    // Calls of this turn of the event loop, and those whose bytes have arrived with it, go together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) {
      const calls = this.#take()
      try {
        await this.#write(calls)
        this.#failedBytes = 0
      } catch (error) {
        this.#failedBytes = calls.reduce((sum, call) => sum + call.bytes, 0)
        for (const call of calls) call.reject(error)
      }
      for (const call of calls) this.#bytes -= call.bytes
    }
    this.#writing = undefined
  }

  #take(): Call[] {
    let count = 0
    let bytes = 0
    for (const call of this.#waiting) {
      if (count > 0 && bytes + call.bytes > WRITE_BYTES_MAX) break
      bytes += call.bytes
      count += 1
    }
    const calls = this.#waiting.slice(0, count)
    this.#waiting = this.#waiting.slice(count)
    return calls
  }

  async #write(calls: readonly Call[]): Promise<void> {
    await this.#checkRoom(performance.now())
    const lanes = new Map<string, Map<number, Lane>>()
    // Per call, for each partition it used: the place of its last message in the lane.
    const places = calls.map(({ epoch, messages }) => {
      const ofTopic = lanes.get(epoch) ?? new Map<number, Lane>()
      lanes.set(epoch, ofTopic)
      const last = new Map<number, number>()
      for (const message of messages) {
        const { partition } = message
        let lane = ofTopic.get(partition)
        if (lane === undefined) {
          lane = { epoch, partition, messages: [] }
          ofTopic.set(partition, lane)
        }
        last.set(partition, lane.messages.push(message) - 1)
      }
      return last
    })
    // Encoded before the transaction: the lock is for all processes.
    const nowMs = Date.now()
    const encoded = [...lanes.values()].flatMap((ofTopic) =>
      [...ofTopic.values()].map((lane) => encodeLane(lane, nowMs)),
    )
    const bases = await this.#store.write(() => this.#put(encoded))
    for (const [i, call] of calls.entries()) {
      const last = new Map<number, bigint>()
      for (const [partition, place] of places[i] ?? []) {
        last.set(partition, BigInt((bases.get(`${call.epoch}/${partition}`) ?? 0) + place))
      }
      call.resolve(last)
    }
  }

  /** Inside a transaction. Returns the offset that the first message of each lane got. */
  #put(lanes: readonly EncodedLane[]): Map<string, number> {
    const { ends, chunks, counters } = this.#store
    const bases = new Map<string, number>()
    let added = 0
    for (const { epoch, partition, chunks: own, count } of lanes) {
      const row = endsOf(this.#store, epoch, partition)
      let bytes = 0
      for (const { bytes: chunk, first } of own) {
        chunks.putSync([epoch, partition, row.end + first], chunk)
        bytes += diskBytes(chunk)
      }
      ends.putSync([epoch, partition], { ...row, end: row.end + count, bytes: row.bytes + bytes })
      bases.set(`${epoch}/${partition}`, row.end)
      added += bytes
    }
    counters.putSync(STORED_BYTES, (counters.get(STORED_BYTES) ?? 0) + added)
    return bases
  }
}
