import { LRUCache } from 'lru-cache'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { hasCode } from '../../shared/errors.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { inParallel } from '../archive/in-parallel.ts'
import { loggedEvent } from '../archive/logged-event.ts'
import {
  archivedPartitions,
  archivedRanges,
  type ArchivedRange as ListedRange,
  readRange,
} from '../archive/read-archive.ts'
import { manifestKey, manifestsPrefix, type PartitionName, type RangeName } from '../domain/archive-key.ts'
import { EMPTY_PRINT, EventPrint } from '../domain/event-print.ts'
import { KeyTally } from '../domain/key-tally.ts'
import { manifestFaults } from '../domain/manifest-faults.ts'
import type { ArchivedObject, Manifest } from '../domain/manifest.ts'
import { RangeCover } from '../domain/range-cover.ts'
import { type ArchiveScope, isInScope, toHours } from '../domain/scope.ts'
import { checkObjectNow } from './check-object.ts'
import { type ArchivedRange, WarehouseComparison } from './compare-warehouse.ts'
import { type AuditFinding, newReport, type PartitionReport } from './finding.ts'
import type { RejectedOffsets } from './rejected-offsets.ts'
import { damagedTodo, groupOf, type Reached, Strays } from './strays.ts'

/** Objects that are read at once. */
const READS_MAX = 6
/** Names of objects that were told of and are remembered. */
const TOLD_MAX = 10_000

/** What the log knows of the archive's partitions; only of the topic's present life. */
export interface LogState {
  readonly epoch: string
  readonly partitions: readonly number[]
  /** The oldest offset that is still there. */
  start(partition: number): bigint
  /** What the exporter and the loader have finished ends before it; undefined when they never committed. */
  exported(partition: number): bigint | undefined
  loaded(partition: number): bigint | undefined
}

export interface AuditDeps {
  readonly bucket: Bucket
  /** Undefined when there is none any more. */
  readonly log: LogState | undefined
  /** Undefined: it is left out. */
  readonly warehouse: Warehouse | undefined
  readonly erase: Erase
  readonly rejected: () => Promise<RejectedOffsets>
  readonly scope: ArchiveScope
  /** Sizes by listing; objects are read only where the warehouse has another number of events. */
  readonly quick: boolean
  readonly signal: AbortSignal
  readonly onFinding: (finding: AuditFinding) => void
  /** After each range. */
  readonly onProgress: (ranges: number, events: number) => void
}

export interface AuditReport {
  readonly partitions: readonly PartitionReport[]
  /** Objects that belong to no partition, by their names. */
  readonly foreignElsewhere: number
}

/**
 * Holds the archive to its promise: every record of the log is in it once, whole, and the warehouse has the same events.
 * What is wrong with the archive is a finding; rejects only when it could not look (as the bucket, the log and the
 * warehouse do). Changes nothing.
 */
export async function audit(deps: AuditDeps): Promise<AuditReport> {
  return new Audit(deps).run()
}

class Audit {
  readonly #deps: AuditDeps
  readonly #scope: ArchiveScope
  readonly #reports = new Map<string, PartitionReport>()
  readonly #reached = new Map<string, Reached>()
  readonly #expected = new KeyTally()
  readonly #told = new LRUCache<string, true>({ max: TOLD_MAX })
  #ranges = 0
  #events = 0

  constructor(deps: AuditDeps) {
    this.#deps = deps
    this.#scope = toHours(deps.scope)
  }

  async run(): Promise<AuditReport> {
    const { bucket, log, signal, onFinding, quick } = this.#deps
    const archived = await archivedPartitions(bucket, signal)
    const inLog = (log?.partitions ?? []).map((partition) => ({ epoch: log?.epoch ?? '', partition }))
    const all = new Map([...archived, ...inLog].map((partition) => [nameOf(partition), partition]))
    for (const partition of all.values()) await this.#partition(partition)
    const report = (partition: PartitionName): PartitionReport => this.#report(partition)
    const reached = (partition: PartitionName): Reached | undefined => this.#reached.get(nameOf(partition))
    const strays = new Strays({
      bucket,
      scope: this.#scope,
      expected: this.#expected,
      reached,
      report,
      bySize: quick,
      signal,
      onFinding,
    })
    await strays.look()
    return { partitions: [...this.#reports.values()], foreignElsewhere: strays.foreignElsewhere }
  }

  async #partition(partition: PartitionName): Promise<void> {
    const { bucket, warehouse, erase, rejected, signal, onFinding, log } = this.#deps
    const ofLog = log?.epoch === partition.epoch ? log : undefined
    const loaded = ofLog && (ofLog.loaded(partition.partition) ?? ofLog.start(partition.partition))
    const report = this.#report(partition)
    const comparison =
      warehouse &&
      new WarehouseComparison(
        { bucket, warehouse, erase, scope: this.#scope, rejected, signal, onFinding },
        partition,
        report.warehouse,
      )
    let cover: RangeCover | undefined
    for await (const range of archivedRanges(bucket, partition, 0n, signal)) {
      cover ??= this.#coverFrom(range, ofLog)
      report.ranges += 1
      const isApart = this.#cover(cover, range, report)
      const manifest = await this.#manifest(range, report)
      if (manifest === undefined) continue
      const content = await this.#content(range, manifest, report)
      this.#ranges += 1
      this.#events += manifest.events
      this.#deps.onProgress(this.#ranges, this.#events)
      if (comparison === undefined || content === undefined || !isApart) continue
      if (loaded !== undefined && range.last >= loaded) report.warehouse.notLoaded += content.all.count
      else await comparison.add(content)
    }
    await comparison?.flush()
    this.#end(partition, cover, ofLog, report)
  }

  #coverFrom({ first, epoch, partition }: RangeName, log: LogState | undefined): RangeCover {
    const start = log?.start(partition)
    if (start !== undefined && start < first) return new RangeCover(start)
    if (first > 0n) {
      const says = `It begins at offset ${first}; the log does not have what was before it.`
      this.#deps.onFinding({ level: 'note', kind: 'begins', key: manifestsPrefix({ epoch, partition }), says })
    }
    return new RangeCover(first)
  }

  /** False when its offsets are in another range too. */
  #cover(cover: RangeCover, range: RangeName & { readonly key: string }, report: PartitionReport): boolean {
    const fault = cover.add(range)
    if (fault === undefined) return true
    const { kind, first, last } = fault
    const { key } = range
    if (kind === 'gap') {
      report.gaps += 1
      const says = `The offsets ${first} to ${last} before it are in no manifest.`
      this.#deps.onFinding({ level: 'problem', kind, key, says, todo: GAP_TODO })
      return true
    }
    report.overlaps += 1
    const says = `Its offsets ${first} to ${last} are in another manifest too.`
    const todo = 'Two exporters wrote with one bucket and different groups, or a manifest was copied. Keep one of them.'
    this.#deps.onFinding({ level: 'problem', kind, key, says, todo })
    return false
  }

  async #manifest(range: ListedRange, report: PartitionReport): Promise<Manifest | undefined> {
    const { bucket, signal } = this.#deps
    const bad = (says: string): void => {
      report.damaged += 1
      this.#deps.onFinding({ level: 'problem', kind: 'bad_manifest', key: range.key, says, todo: damagedTodo(range) })
    }
    try {
      const { manifest } = await readRange(bucket, range, signal)
      for (const fault of manifestFaults(range, manifest)) bad(`It does not agree with itself: ${fault}.`)
      report.events += manifest.events
      report.bytes += manifest.objects.reduce((sum, { bytes }) => sum + bytes, 0)
      return manifest
    } catch (error) {
      if (!hasCode(error, 'ARCHIVE_DAMAGED')) throw error
      bad(error.message)
      return undefined
    }
  }

  /** Checks the objects; undefined when they cannot be compared with the warehouse. */
  async #content(
    range: RangeName & { readonly key: string },
    manifest: Manifest,
    report: PartitionReport,
  ): Promise<ArchivedRange | undefined> {
    const inScope = manifest.objects.filter((object) => isInScope(this.#scope, nameIn(object)))
    for (const object of inScope) this.#expected.addNamed(groupOf(nameIn(object)), object)
    const name = { first: range.first, last: range.last, manifestKey: range.key }
    if (this.#deps.quick) {
      const count = inScope.reduce((sum, { events }) => sum + events, 0)
      const print = { ...EMPTY_PRINT, count }
      return { ...name, all: print, kept: print, isRead: false }
    }
    const { bucket, signal, erase, onFinding } = this.#deps
    const all = new EventPrint()
    const kept = new EventPrint()
    let isWhole = true
    await inParallel(inScope, READS_MAX, async (object) => {
      const outcome = await checkObjectNow(bucket, manifestKey(range), object, signal, (event) => {
        all.add(event.id, event.offset)
        if (erase(loggedEvent(object, event)) !== null) kept.add(event.id, event.offset)
      })
      if (outcome.state === 'whole') return
      isWhole = false
      if (outcome.state === 'missing' && this.#told.has(object.key)) return // a merged file is of many ranges
      this.#told.set(object.key, true)
      report[outcome.state] += 1
      const kind = outcome.state === 'missing' ? 'missing_object' : 'damaged_object'
      onFinding({ level: 'problem', kind, key: object.key, says: outcome.says, todo: damagedTodo(range) })
    })
    return isWhole ? { ...name, all: all.value, kept: kept.value, isRead: true } : undefined
  }

  #end(
    partition: PartitionName,
    cover: RangeCover | undefined,
    log: LogState | undefined,
    report: PartitionReport,
  ): void {
    const committed = log?.exported(partition.partition)
    const next = cover?.next ?? log?.start(partition.partition) ?? 0n
    this.#reached.set(nameOf(partition), { next, committed })
    if (committed === undefined || committed <= next) return
    report.gaps += 1
    this.#deps.onFinding({
      level: 'problem',
      kind: 'missing_manifest',
      key: manifestsPrefix(partition),
      says: `The exporter has committed up to offset ${committed}, and the manifests end before ${next}.`,
      todo: GAP_TODO,
    })
  }

  #report(partition: PartitionName): PartitionReport {
    const name = nameOf(partition)
    const report = this.#reports.get(name) ?? newReport(partition)
    this.#reports.set(name, report)
    return report
  }
}

const GAP_TODO = 'Put the manifest back from another copy of the archive (a version that the bucket keeps, a replica).'

const nameOf = ({ epoch, partition }: PartitionName): string => `${epoch}/${partition}`
const nameIn = ({ project, hour }: ArchivedObject) => ({ project, hourMs: Date.parse(hour) })
