import { frameEvent, unreadableReason } from '../../shared/events/codec.ts'
import { decodeRecord, type UnusableReason } from '../../shared/events/domain/decode-record.ts'
import type { LogRecord } from '../../shared/log/port.ts'
import type { RangeRepeats } from './range-repeats.ts'
import type { RangeSpool } from './range-spool.ts'

/** What was read of one range: its events by object, and what became of its other records. */
export class GatheredRange {
  readonly spool: RangeSpool
  readonly repeats: RangeRepeats
  readonly unusable = new Map<UnusableReason, number>()
  records = 0
  repeated = 0
  /** The log may have let go of records that an earlier attempt at this range has seen. */
  isCut = false
  /** When the first record was written to the log and the last one, by its clock; undefined while there is none. */
  firstMs: number | undefined
  lastMs: number | undefined

  constructor(spool: RangeSpool, repeats: RangeRepeats) {
    this.spool = spool
    this.repeats = repeats
  }

  /** Those that go to its objects. */
  get events(): number {
    return this.spool.parts.reduce((sum, { events }) => sum + events, 0)
  }

  add(record: LogRecord): void {
    this.records += 1
    const { appendedAtMs } = record
    this.firstMs ??= appendedAtMs
    this.lastMs = appendedAtMs
    const decoded = decodeRecord(record, frameEvent, unreadableReason)
    if ('reason' in decoded) this.unusable.set(decoded.reason, (this.unusable.get(decoded.reason) ?? 0) + 1)
    else if (this.repeats.isRepeat(decoded.event, record)) this.repeated += 1
    else this.spool.add(decoded.event, record.offset)
  }
}
