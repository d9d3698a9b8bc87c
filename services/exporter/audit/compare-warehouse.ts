import type { Bucket } from '../../shared/bucket/port.ts'
import type { Erase } from '../../shared/deletions/domain/erase.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { loggedEvent } from '../archive/logged-event.ts'
import { readNewest, readObject, readObjectNow } from '../archive/read-archive.ts'
import { RANGES_A_QUESTION, storedIds, storedPrints } from '../archive/stored-ranges.ts'
import { manifestKey, type PartitionName } from '../domain/archive-key.ts'
import { isSamePrint, type PrintValue } from '../domain/event-print.ts'
import type { Offsets } from '../domain/range-cover.ts'
import { type ArchiveScope, isInScope } from '../domain/scope.ts'
import type { AuditFinding, WarehouseReport } from './finding.ts'
import type { RejectedOffsets } from './rejected-offsets.ts'

/** What the archive has of one range. */
export interface ArchivedRange extends Offsets {
  readonly manifestKey: string
  /** Its count alone when its objects were not read. */
  readonly all: PrintValue
  /** Without what deletions concern; the same where there are none. */
  readonly kept: PrintValue
  readonly isRead: boolean
}

export interface CompareDeps {
  readonly bucket: Bucket
  readonly warehouse: Warehouse
  readonly erase: Erase
  readonly scope: ArchiveScope
  /** Asked for only when events are missing. */
  readonly rejected: () => Promise<RejectedOffsets>
  readonly signal: AbortSignal
  readonly onFinding: (finding: AuditFinding) => void
}

/** Offsets that a finding names; more are counted. */
const NAMED_MAX = 5

/** Compares the ranges of one partition with the warehouse, many in one question; where they differ, event by event. */
export class WarehouseComparison {
  readonly #deps: CompareDeps
  readonly #partition: PartitionName
  readonly #report: WarehouseReport
  #waiting: ArchivedRange[] = []

  constructor(deps: CompareDeps, partition: PartitionName, report: WarehouseReport) {
    this.#deps = deps
    this.#partition = partition
    this.#report = report
  }

  async add(range: ArchivedRange): Promise<void> {
    this.#waiting.push(range)
    if (this.#waiting.length >= RANGES_A_QUESTION) await this.flush()
  }

  async flush(): Promise<void> {
    const ranges = this.#waiting
    this.#waiting = []
    const { warehouse, scope, signal } = this.#deps
    const stored = await storedPrints(warehouse, this.#partition, ranges, scope, signal)
    for (const [index, range] of ranges.entries()) {
      const found = stored[index]
      if (found === undefined) continue
      this.#report.compared += range.all.count
      if (range.isRead ? isSamePrint(found, range.all) : found.count === range.all.count) continue
      // A deletion may not be carried out yet: what was deleted may be there or not.
      if (range.isRead && isSamePrint(found, range.kept)) this.#report.erased += range.all.count - range.kept.count
      else await this.#eventByEvent(range)
    }
  }

  async #eventByEvent(range: ArchivedRange): Promise<void> {
    const { bucket, warehouse, scope, signal, erase, rejected, onFinding } = this.#deps
    const stored = await storedIds(warehouse, this.#partition, range, scope, signal)
    const missing: bigint[] = []
    const extra: bigint[] = []
    const unknown = new Set(stored.keys())
    const firstKey = manifestKey({ ...this.#partition, first: range.first, last: range.last })
    const { objects } = (await readNewest(bucket, firstKey, signal)).manifest
    for (const object of objects) {
      if (!isInScope(scope, { project: object.project, hourMs: Date.parse(object.hour) })) continue
      for await (const batch of readObjectNow(readObject, bucket, firstKey, object, signal)) {
        for (const event of batch) {
          const ids = stored.get(event.offset) ?? []
          unknown.delete(event.offset)
          const others = ids.filter((id) => id !== event.id).length
          if (ids.length > 1 || others > 0) extra.push(event.offset)
          if (others < ids.length) continue
          if (erase(loggedEvent(object, event)) === null) this.#report.erased += 1
          else if ((await rejected())(this.#partition).has(event.offset)) this.#report.rejected += 1
          else missing.push(event.offset)
        }
      }
    }
    extra.push(...unknown)
    this.#report.missing += missing.length
    this.#report.extra += extra.length
    const { epoch, partition } = this.#partition
    const where = `log_epoch = '${epoch}' AND log_partition = ${partition}`
    if (missing.length > 0) {
      onFinding({
        level: 'problem',
        kind: 'warehouse_missing',
        key: range.manifestKey,
        says: `${missing.length} of its events are not in the warehouse: ${named(missing)}.`,
        todo: '`tributary replay` puts in what is missing and leaves the rest alone.',
      })
    }
    if (extra.length > 0) {
      onFinding({
        level: 'problem',
        kind: 'warehouse_extra',
        key: range.manifestKey,
        says: `The warehouse has rows that the archive does not have, or has twice: ${named(extra)}.`,
        todo: `Look at them: SELECT * FROM events WHERE ${where} AND log_offset IN (${extra.slice(0, NAMED_MAX).join(', ')}).`,
      })
    }
  }
}

const named = (offsets: readonly bigint[]): string => {
  const first = offsets.slice(0, NAMED_MAX).join(', ')
  return offsets.length > NAMED_MAX ? `offsets ${first} and ${offsets.length - NAMED_MAX} more` : `offset ${first}`
}
