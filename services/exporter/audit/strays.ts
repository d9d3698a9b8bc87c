import type { Bucket } from '../../shared/bucket/port.ts'
import { archivedPartitions, type ArchivedRange, archivedRanges, readRange } from '../archive/read-archive.ts'
import {
  EVENTS_PREFIX,
  type ObjectName,
  parseObjectKey,
  parseRangeKey,
  type PartitionName,
  type RangeName,
  REPEATS_PREFIX,
} from '../domain/archive-key.ts'
import { KeyTally } from '../domain/key-tally.ts'
import { type MergedName, parseMergedKey } from '../domain/merged-key.ts'
import { type ArchiveScope, isInScope, isWhole } from '../domain/scope.ts'
import type { AuditFinding, PartitionReport } from './finding.ts'
import { KnownManifests } from './known-manifests.ts'
import { MergedStates } from './merged-file.ts'

const DAY_CHARACTERS = 10
const MERGED_TODO = 'Put it back from another copy of the archive (a version that the bucket keeps, a replica).'
const UNCOVERED_TODO =
  'Nothing reads them. They may be of events that were erased: the next deletion of any in it writes it anew.'
const FOREIGN_TODO = 'Nothing reads it. Look at what it is, and delete it or move it elsewhere.'

/** What the manifests of a partition reached when they were read. */
export interface Reached {
  /** Behind the last manifest. */
  readonly next: bigint
  /** What the exporter had committed by then; undefined when the log could not be asked. */
  readonly committed: bigint | undefined
}

export interface StraysDeps {
  readonly bucket: Bucket
  readonly scope: ArchiveScope
  /** Objects that the manifests name, in the groups of `groupOf`. */
  readonly expected: KeyTally
  readonly reached: (partition: PartitionName) => Reached | undefined
  readonly report: (partition: PartitionName) => PartitionReport
  /** Objects are not read, so their sizes are looked at here. */
  readonly bySize: boolean
  readonly signal: AbortSignal
  readonly onFinding: (finding: AuditFinding) => void
}

/** A project's day: small enough to be looked at one by one where something is off, and few enough to be counted in memory. */
export const groupOf = ({ project, hourMs }: Pick<ObjectName, 'project' | 'hourMs'>): string =>
  `${EVENTS_PREFIX}${project}/${new Date(hourMs).toISOString().slice(0, DAY_CHARACTERS)}/`

/**
 * Compares what the bucket lists with what the manifests name, by project and day; where they differ, object by object.
 * Objects are never all in memory. Rejects as the bucket does.
 */
export class Strays {
  readonly #deps: StraysDeps
  readonly #manifests: KnownManifests
  readonly #merged: MergedStates
  readonly #ends = new Map<string, bigint>()
  foreignElsewhere = 0

  constructor(deps: StraysDeps) {
    this.#deps = deps
    this.#manifests = new KnownManifests(deps.bucket, deps.signal)
    this.#merged = new MergedStates(deps.bucket, this.#manifests, deps.signal)
  }

  async look(): Promise<void> {
    const { bucket, scope, expected, signal } = this.#deps
    const listed = new KeyTally()
    const prefix = scope.project === undefined ? EVENTS_PREFIX : `${EVENTS_PREFIX}${scope.project}/`
    for await (const { key, bytes } of bucket.list(prefix, { signal })) {
      const name = parseObjectKey(key)
      const group = name ?? parseMergedKey(key)
      if (group === undefined) this.#foreign(key, undefined, 'It has not the name of an object of events.')
      else if (isInScope(scope, group)) {
        if (name !== undefined && (await this.#isInFlight(name))) this.#inFlight(key, name)
        else listed.add(groupOf(group), key, bytes)
      }
    }
    const differing = listed.differing(expected)
    for (const group of differing) await this.#lookAt(group)
    if (this.#deps.bySize && differing.size > 0) await this.#lookForMissing(differing)
    if (isWhole(scope)) await this.#lookAtRepeats()
  }

  async #lookAt(group: string): Promise<void> {
    const { bucket, scope, signal, onFinding } = this.#deps
    let replaced = 0
    for await (const { key, bytes } of bucket.list(group, { signal })) {
      const [name, merged] = [parseObjectKey(key), parseMergedKey(key)]
      const place = name ?? merged
      if (place === undefined || !isInScope(scope, place)) continue
      const isReplaced =
        merged === undefined
          ? name !== undefined && (await this.#lookAtObject(key, bytes, name))
          : await this.#lookAtMerged(key, bytes, merged)
      if (isReplaced) replaced += 1
    }
    if (replaced === 0) return
    const says = `${replaced} of its objects are being merged, or were replaced and are about to be removed.`
    onFinding({ level: 'note', kind: 'replaced', key: group, says })
  }

  /** True when it was replaced, or when it is gone meanwhile. */
  async #lookAtObject(key: string, bytes: number, name: ObjectName): Promise<boolean> {
    const { bySize, report, onFinding } = this.#deps
    if (await this.#isInFlight(name)) return false
    let known = await this.#manifests.of(name)
    // What was known may be of before it was named.
    if (typeof known === 'string' || !known.named.has(key)) known = await this.#manifests.ofNow(name)
    if (known === 'unreadable') return false
    const object = known === 'none' ? undefined : known.named.get(key)
    if (object === undefined) {
      if (known !== 'none' && known.replaced.has(key)) return true
      if (await this.#isThere(key)) this.#foreign(key, name, withoutManifest(name, known === 'none'))
    } else if (bySize && object.bytes !== bytes) {
      report(name).damaged += 1
      const says = `It has ${bytes} bytes, its manifest says ${object.bytes}.`
      onFinding({ level: 'problem', kind: 'damaged_object', key, says, todo: damagedTodo(name) })
    }
    return false
  }

  async #lookAtMerged(key: string, bytes: number, name: MergedName): Promise<boolean> {
    const { onFinding } = this.#deps
    const found = await this.#merged.of(key, name)
    switch (found.state) {
      case 'in_flight':
      case 'replaced':
        return true
      case 'unplanned':
      case 'unnamed':
        if (await this.#isThere(key)) {
          this.#foreign(key, undefined, found.state === 'unnamed' ? 'No manifest names it.' : 'No plan tells of it.')
        }
        return false
      case 'named':
        if (found.bytes === undefined) return false
        if (found.fileBytes !== bytes) {
          const says = `It has ${bytes} bytes, its manifests say ${found.fileBytes}.`
          onFinding({ level: 'problem', kind: 'damaged_object', key, says, todo: MERGED_TODO })
        } else if (found.bytes !== bytes && (await this.#isThere(key))) {
          const says = `The manifests tell of ${found.bytes} of its ${bytes} bytes.`
          onFinding({ level: 'problem', kind: 'uncovered', key, says, todo: UNCOVERED_TODO })
        }
        return false
      default:
        return found satisfies never
    }
  }

  /** What was listed may have been removed since, by who merges or erases. */
  async #isThere(key: string): Promise<boolean> {
    return (await this.#deps.bucket.head(key, this.#deps.signal)) !== undefined
  }

  async #lookForMissing(groups: ReadonlySet<string>): Promise<void> {
    const { bucket, scope, signal, report, onFinding } = this.#deps
    for await (const range of this.#allRanges()) {
      const read = await readRange(bucket, range, signal).catch(() => undefined) // it was told of when it was read first
      for (const object of read?.manifest.objects ?? []) {
        const name = { project: object.project, hourMs: Date.parse(object.hour) }
        if (!isInScope(scope, name) || !groups.has(groupOf(name))) continue
        if ((object.at ?? 0) > 0) continue // once for a merged file
        if (await this.#isThere(object.key)) continue
        const now = await this.#manifests.ofNow(range)
        if (typeof now !== 'string' && !now.named.has(object.key)) continue // replaced meanwhile
        report(range).missing += 1
        const says = 'It is not there.'
        onFinding({ level: 'problem', kind: 'missing_object', key: object.key, says, todo: damagedTodo(range) })
      }
    }
  }

  async *#allRanges(): AsyncGenerator<ArchivedRange> {
    const { bucket, signal } = this.#deps
    for (const partition of await archivedPartitions(bucket, signal)) {
      yield* archivedRanges(bucket, partition, 0n, signal)
    }
  }

  /** Repeat keys stand in the order of manifests, so each partition's are compared as they come. */
  async #lookAtRepeats(): Promise<void> {
    const { bucket, signal } = this.#deps
    for await (const { key } of bucket.list(REPEATS_PREFIX, { signal })) {
      const name = parseRangeKey(key)
      if (name === undefined) this.#foreign(key, undefined, 'It has not the name of repeat keys.')
      else if (await this.#isInFlight(name)) this.#inFlight(key, name)
      else if ((await this.#manifests.of(name)) === 'none') this.#foreign(key, name, withoutManifest(name, true))
    }
  }

  /** Of the range that comes after the last manifest: being written, or written since the manifests were read. */
  async #isInFlight(range: RangeName): Promise<boolean> {
    const reached = this.#deps.reached(range)
    if (reached === undefined || range.first < reached.next) return false
    if (reached.committed !== undefined && range.last < reached.committed) return false
    return range.first <= (await this.#end(range, reached.next))
  }

  async #end(range: RangeName, next: bigint): Promise<bigint> {
    const { bucket, signal } = this.#deps
    const name = `${range.epoch}/${range.partition}`
    let end = this.#ends.get(name) ?? next
    if (range.first > end) {
      for await (const { first, last } of archivedRanges(bucket, range, end, signal)) {
        if (first !== end) break
        end = last + 1n
      }
      this.#ends.set(name, end)
    }
    return end
  }

  #foreign(key: string, range: PartitionName | undefined, says: string): void {
    if (range === undefined) this.foreignElsewhere += 1
    else this.#deps.report(range).foreign += 1
    this.#deps.onFinding({ level: 'problem', kind: 'foreign', key, says, todo: FOREIGN_TODO })
  }

  #inFlight(key: string, range: PartitionName): void {
    this.#deps.report(range).inFlight += 1
    this.#deps.onFinding({ level: 'note', kind: 'in_flight', key, says: 'It is of a range that is being written.' })
  }
}

const withoutManifest = ({ first, last }: RangeName, isMissing: boolean): string =>
  isMissing
    ? `It is of the offsets ${first} to ${last}, of which there is no manifest.`
    : 'The manifest of its range does not name it.'

export const damagedTodo = ({ epoch, partition }: PartitionName): string =>
  'Put it back from another copy of the archive (a version that the bucket keeps, a replica). The events are in the ' +
  `warehouse too, at log_epoch '${epoch}', log_partition ${partition}.`
