import type { EventLog, LogRecord, PartitionClaim } from '../shared/log/port.ts'
import type { Slots } from '../shared/slots.ts'
import type { OffsetRange } from './domain/intent.ts'
import type { SealedBy } from './metrics.ts'
import type { LoaderSettings } from './settings.ts'

/** One read: small, so that partitions that wait for a slot hold little. */
const READ_BYTES = 4 * 1024 * 1024
const IDLE_WAIT_MS = 1_000
/** How soon a batch that is due notices that its predecessor has ended. */
const BUSY_WAIT_MS = 25

export interface Batch extends OffsetRange {
  readonly records: readonly LogRecord[]
  readonly sealedBy: SealedBy | 'replay'
}

const sizeOf = (record: LogRecord): number => (record.value?.length ?? 0) + (record.key?.length ?? 0)

/** Cuts the records of one claim into batches. Each batch holds a slot, which its user gives back. */
export class BatchReader {
  readonly #claim: PartitionClaim
  readonly #slots: Slots
  readonly #settings: LoaderSettings
  readonly #onRead: (records: number) => void
  #position: bigint
  #ahead: readonly LogRecord[] = []

  constructor(claim: PartitionClaim, slots: Slots, settings: LoaderSettings, onRead: (records: number) => void) {
    this.#claim = claim
    this.#slots = slots
    this.#settings = settings
    this.#onRead = onRead
    this.#position = claim.committed.offset
  }

  /**
   * The records of a range that an earlier owner decided on: exactly these, however many came since. Undefined when the
   * claim ended first. Records that retention took are missing from it; they cannot be had again.
   */
  async exactly(range: OffsetRange, log: EventLog): Promise<Batch | undefined> {
    const { signal, topic, partition } = this.#claim
    if (!(await this.#slots.take(signal))) return undefined
    const records: LogRecord[] = []
    while (this.#position <= range.last) {
      const maxRecords = Number(range.last - this.#position) + 1
      const more = await this.#read({ maxBytes: READ_BYTES, maxRecords, waitMs: IDLE_WAIT_MS })
      if (signal.aborted) {
        this.#slots.give()
        return undefined
      }
      const beyond = more.findIndex((record) => record.offset > range.last)
      records.push(...(beyond === -1 ? more : more.slice(0, beyond)))
      if (beyond !== -1) {
        this.#ahead = more.slice(beyond)
        break
      }
      if (more.length === 0) {
        // A log that is away is asked again in the next round.
        const all = await log.ends(topic).catch(() => [])
        const ends = all.find((end) => end.partition === partition)
        if (ends !== undefined && ends.start > range.last) break
      } else {
        this.#position = (more.at(-1)?.offset ?? this.#position) + 1n
      }
    }
    this.#position = range.last + 1n
    return { ...range, records, sealedBy: 'replay' }
  }

  /**
   * The next batch, closed by rows, bytes or age; while the one before it is `busy`, age does not close it: it could not
   * begin, and would only be smaller. Undefined when the claim ended, or `isStopped`, first.
   */
  async next(isBusy: () => boolean, isStopped: () => boolean): Promise<Batch | undefined> {
    const { batchRowsMax, batchBytesMax, batchAgeMs } = this.#settings
    const { signal } = this.#claim
    const isOver = (): boolean => signal.aborted || isStopped()
    const records: LogRecord[] = []
    while (records.length === 0) {
      if (isOver()) return undefined
      const waitMs = isBusy() ? BUSY_WAIT_MS : IDLE_WAIT_MS
      records.push(...(await this.#read({ maxBytes: READ_BYTES, maxRecords: batchRowsMax, waitMs })))
    }
    const dueMs = performance.now() + batchAgeMs
    if (!(await this.#slots.take(signal))) return undefined
    let bytes = records.reduce((sum, record) => sum + sizeOf(record), 0)
    let sealedBy: SealedBy | undefined
    while (sealedBy === undefined) {
      const leftMs = dueMs - performance.now()
      if (isOver()) {
        this.#slots.give()
        return undefined
      }
      if (records.length >= batchRowsMax) sealedBy = 'rows'
      else if (bytes >= batchBytesMax) sealedBy = 'bytes'
      else if (leftMs <= 0 && !isBusy()) sealedBy = 'age'
      else {
        const more = await this.#read({
          maxBytes: Math.min(READ_BYTES, batchBytesMax - bytes),
          maxRecords: batchRowsMax - records.length,
          waitMs: leftMs > 0 ? Math.ceil(leftMs) : BUSY_WAIT_MS,
        })
        for (const record of more) {
          records.push(record)
          bytes += sizeOf(record)
        }
      }
    }
    const first = this.#position
    const last = records.at(-1)?.offset ?? first
    this.#position = last + 1n
    return { first, last, records, sealedBy }
  }

  async #read(options: Parameters<PartitionClaim['read']>[0]): Promise<readonly LogRecord[]> {
    if (this.#ahead.length > 0) {
      const ahead = this.#ahead.slice(0, options.maxRecords)
      this.#ahead = this.#ahead.slice(options.maxRecords)
      return ahead
    }
    const records = await this.#claim.read(options)
    this.#onRead(records.length)
    return records
  }
}
