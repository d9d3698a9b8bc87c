import type { Logger } from 'pino'
import { AppError, hasCode } from '../shared/errors.ts'
import { findRepeats } from '../shared/events/repeats.ts'
import type { EventLog, PartitionClaim } from '../shared/log/port.ts'
import type { Warehouse } from '../shared/warehouse/port.ts'
import { writeDeadLetters } from './dead-letters.ts'
import { splitForInserts } from '../shared/events/domain/arrange.ts'
import type { Erase } from '../shared/deletions/domain/erase.ts'
import type { DeadReason, DeadRecord } from './domain/dead.ts'
import type { DecodedEvent } from '../shared/events/domain/decode-record.ts'
import { formatIntent } from './domain/intent.ts'
import type { LoaderMetrics } from './metrics.ts'
import { encodeRows, type InsertPart, type PreparedBatch, toParts } from './prepare.ts'
import { untilDefinite } from '../shared/retry.ts'
import type { RowBuffers } from './row-buffers.ts'
import { EVENT_COLUMNS, EVENTS_TABLE, REPEAT_COLUMNS, REPEATS_TABLE, repeatRows } from '../shared/events/rows.ts'
import type { LoaderSettings } from './settings.ts'
import { storedRepeats } from './stored-repeats.ts'

export interface EffectDeps {
  readonly log: EventLog
  readonly warehouse: Warehouse
  readonly settings: LoaderSettings
  readonly metrics: LoaderMetrics
  readonly buffers: RowBuffers
  /** What was deleted does not come back. */
  readonly erase: Erase
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
}

export interface EffectOutcome {
  readonly stored: number
  readonly repeated: number
  /** Dropped because they were deleted after they were received. */
  readonly erased: number
  readonly dead: ReadonlyMap<DeadReason, number>
}

/**
 * One range: intent, effect, end. Everything between the two commits is a function of the range's records and of what
 * was stored before it, under names made of its offsets, so that doing it again changes nothing.
 *
 * The intent is confirmed again before an insert that would begin late: a commit is refused to a former owner, so an
 * effect never runs longer after its last proof of ownership than `effectMs`, which the warehouse's memory of tokens
 * exceeds by far.
 */
export class RangeEffect {
  readonly #deps: EffectDeps
  readonly #claim: PartitionClaim
  readonly #prepared: PreparedBatch
  readonly #hardStop: AbortSignal
  readonly #tokenBase: string
  #deadlineMs = 0
  #erased = 0

  constructor(deps: EffectDeps, claim: PartitionClaim, prepared: PreparedBatch, hardStop: AbortSignal) {
    this.#deps = deps
    this.#claim = claim
    this.#prepared = prepared
    this.#hardStop = hardStop
    const { first, last } = prepared.batch
    this.#tokenBase = `${claim.epoch}/${claim.partition}/${first}-${last}`
  }

  /** Rejects with LOG_FENCED or SHUTTING_DOWN when the range is left to its next owner. */
  async run(): Promise<EffectOutcome> {
    await this.#retried(() => this.#confirm())
    const { batch, events } = this.#prepared
    const dead: DeadRecord[] = [...this.#prepared.dead]
    const { kept, parts } = await this.#keptParts(events)
    const refused = new Set<DecodedEvent>()
    this.#erased = 0
    for (const [index, part] of parts.entries()) {
      for (const item of await this.#store(part, `${index}`)) {
        refused.add(item)
        dead.push({ record: item.record, reason: 'warehouse_rejected' })
      }
    }
    // One that the warehouse refused counts as the first of its name all the same: so what is a repeat depends on the log
    // alone, wherever the batches were cut, and is the same for every reader of the log.
    const keyed = kept.filter((item) => item.event.repeatKey !== null)
    for (const [index, part] of splitForInserts(keyed, ({ event }) => event.createdAtMs).entries()) {
      const rowBinary = repeatRows(this.#claim.epoch, part)
      await this.#insert(REPEATS_TABLE, REPEAT_COLUMNS, rowBinary, part.length, `r${index}`)
    }
    if (dead.length > 0) {
      await this.#retried(() => writeDeadLetters(this.#deps.log, this.#claim, dead))
      const fields = { partition: this.#claim.partition, first: String(batch.first), records: dead.length }
      this.#deps.logger.warn(fields, 'records moved to the dead-letter topic')
    }
    await this.#retried(() => this.#claim.commit(batch.last + 1n))
    const reasons = new Map<DeadReason, number>()
    for (const { reason } of dead) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    const erased = this.#erased
    const stored = kept.length - refused.size - erased
    return { stored, repeated: events.length - kept.length, erased, dead: reasons }
  }

  async #keptParts(
    events: readonly DecodedEvent[],
  ): Promise<{ kept: readonly DecodedEvent[]; parts: readonly InsertPart[] }> {
    const { batch, parts } = this.#prepared
    if (parts !== undefined) return { kept: events, parts }
    const { epoch, partition } = this.#claim
    const range = { epoch, partition, first: batch.first }
    const stored = await this.#retried(() => storedRepeats(this.#deps.warehouse, range, events, this.#hardStop))
    const repeats = findRepeats(
      events.map(({ event }) => event),
      stored,
    )
    const kept = events.filter((_item, index) => repeats[index] !== true)
    return { kept, parts: await toParts(epoch, kept, this.#deps) }
  }

  /** Stores what the warehouse takes, and returns what it never will: halves are tried until the bad rows stand alone. */
  async #store(part: InsertPart, sub: string): Promise<readonly DecodedEvent[]> {
    const { events, rowBinary, rowCount } = part
    try {
      if (rowCount > 0) await this.#insert(EVENTS_TABLE, EVENT_COLUMNS, rowBinary, rowCount, sub)
      this.#erased += events.length - rowCount
      // Answered, so read to its end; after an error a request that was given up may still be reading it.
      this.#deps.buffers.give(rowBinary)
      return []
    } catch (error) {
      if (!hasCode(error, 'WAREHOUSE_REJECTED')) throw error
    }
    if (events.length === 1) return events
    const middle = Math.ceil(events.length / 2)
    const refused: DecodedEvent[] = []
    for (const [index, half] of [events.slice(0, middle), events.slice(middle)].entries()) {
      const halfPart = await encodeRows(this.#claim.epoch, half, this.#deps)
      refused.push(...(await this.#store(halfPart, `${sub}b${index}`)))
    }
    return refused
  }

  async #insert(
    table: string,
    columns: readonly string[],
    rowBinary: Buffer,
    rowCount: number,
    sub: string,
  ): Promise<void> {
    const { warehouse, metrics } = this.#deps
    const token = `${this.#tokenBase}/${sub}`
    await this.#retried(async () => {
      await this.#confirm()
      const deadlineMs = this.#deadlineMs
      try {
        await warehouse.insert({ table, columns, rowBinary, rowCount, token, deadlineMs, signal: this.#hardStop })
        metrics.inserts.inc({ outcome: 'stored' })
      } catch (error) {
        metrics.inserts.inc({ outcome: hasCode(error, 'WAREHOUSE_REJECTED') ? 'rejected' : 'unavailable' })
        throw error
      }
    })
  }

  /** Says, or says again, that this range is being loaded here. Refused with LOG_FENCED when it is somebody else's. */
  async #confirm(): Promise<void> {
    const nowMs = performance.now()
    const { effectMs } = this.#deps.settings
    if (this.#deadlineMs - nowMs > effectMs / 2) return
    await this.#claim.commit(this.#prepared.batch.first, formatIntent(this.#prepared.batch))
    this.#deadlineMs = nowMs + effectMs
  }

  async #retried<T>(attempt: () => Promise<T>): Promise<T> {
    const { settings, logger } = this.#deps
    return untilDefinite(settings, this.#claim.signal, attempt, (error) => {
      const fields = { code: error instanceof AppError ? error.code : undefined, partition: this.#claim.partition }
      logger.warn(fields, 'a step of a batch had no answer and is tried again')
    })
  }
}
