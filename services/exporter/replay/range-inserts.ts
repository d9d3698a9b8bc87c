import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { hasCode } from '../../shared/errors.ts'
import { sortForTable, splitForInserts } from '../../shared/events/domain/arrange.ts'
import {
  EVENT_COLUMNS,
  EVENTS_TABLE,
  eventRowsBytes,
  type PlacedEvent,
  REPEAT_COLUMNS,
  REPEATS_TABLE,
  repeatRows,
  writeEventRow,
} from '../../shared/events/rows.ts'
import { type Backoff, untilDefinite } from '../../shared/retry.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../shared/warehouse/row-binary.ts'

const INSERT_MS = 120_000
/** `event_repeats` forgets what is older; it need not be put in. */
const REPEATS_KEPT_MS = 62 * 86_400_000

export interface InsertDeps extends Backoff {
  readonly warehouse: Warehouse
  readonly erase: Erase
  readonly signal: AbortSignal
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly onRetry: () => void
}

/** What the warehouse has of a range already. */
export interface AlreadyStored {
  hasEvent(offset: bigint): boolean
  hasRepeat(offset: bigint): boolean
}

export interface InsertOutcome {
  inserted: number
  present: number
  erased: number
  /** Events that the warehouse will never take, as when the loader tried. */
  refused: number
}

/**
 * Puts parts of one range into the tables, as the loader writes them. A part's inserts are cut from all of its events,
 * and what the warehouse has is left out after that: so a second attempt gives the same rows the same tokens.
 */
export class RangeInserts {
  readonly #deps: InsertDeps
  readonly #epoch: string
  readonly #token: string
  readonly #stored: AlreadyStored
  readonly outcome: InsertOutcome = { inserted: 0, present: 0, erased: 0, refused: 0 }

  /** `token` begins the tokens of the range's inserts. */
  constructor(deps: InsertDeps, epoch: string, token: string, stored: AlreadyStored) {
    this.#deps = deps
    this.#epoch = epoch
    this.#token = token
    this.#stored = stored
  }

  /** Repeat keys go first: where all events of a range are there, its repeat keys are. */
  async store(part: number, events: readonly PlacedEvent[]): Promise<void> {
    const oldestMs = this.#deps.nowMs - REPEATS_KEPT_MS
    const keyed = events.filter(({ event }) => event.repeatKey !== null && event.createdAtMs >= oldestMs)
    for (const [index, some] of splitForInserts(keyed, ({ event }) => event.createdAtMs).entries()) {
      const absent = some.filter(({ record }) => !this.#stored.hasRepeat(record.offset))
      if (absent.length === 0) continue
      const rows = repeatRows(this.#epoch, absent)
      await this.#insert(REPEATS_TABLE, REPEAT_COLUMNS, rows, absent.length, `${part}r${index}`)
    }
    for (const [index, some] of splitForInserts(sortForTable(events), ({ event }) => event.timestampMs).entries()) {
      const absent = some.filter(({ record }) => !this.#stored.hasEvent(record.offset))
      this.outcome.present += some.length - absent.length
      const kept = absent.flatMap(({ event, record }) => {
        const left = this.#deps.erase(event)
        return left === null ? [] : [{ event: left, record }]
      })
      this.outcome.erased += absent.length - kept.length
      await this.#events(kept, `${part}.${index}`)
    }
  }

  /** Halves are tried until what the warehouse does not take stands alone. */
  async #events(events: readonly PlacedEvent[], sub: string): Promise<void> {
    if (events.length === 0) return
    const writer = new RowBinaryWriter(eventRowsBytes(events))
    for (const item of events) writeEventRow(writer, this.#epoch, item)
    try {
      await this.#insert(EVENTS_TABLE, EVENT_COLUMNS, writer.finish(), events.length, sub)
      this.outcome.inserted += events.length
      return
    } catch (error) {
      if (!hasCode(error, 'WAREHOUSE_REJECTED')) throw error
    }
    if (events.length === 1) {
      this.outcome.refused += 1
      return
    }
    const middle = Math.ceil(events.length / 2)
    await this.#events(events.slice(0, middle), `${sub}b0`)
    await this.#events(events.slice(middle), `${sub}b1`)
  }

  async #insert(
    table: string,
    columns: readonly string[],
    rowBinary: Buffer,
    rowCount: number,
    sub: string,
  ): Promise<void> {
    const { warehouse, signal, onRetry } = this.#deps
    const token = `${this.#token}/${sub}`
    const attempt = async (): Promise<void> => {
      const deadlineMs = performance.now() + INSERT_MS
      await warehouse.insert({ table, columns, rowBinary, rowCount, token, deadlineMs, signal })
    }
    await untilDefinite(this.#deps, signal, attempt, onRetry)
  }
}
