import type { Bucket } from '../../shared/bucket/port.ts'
import { archivedPartitions, archivedRanges, readManifest } from '../archive/read-archive.ts'
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
import { type ArchiveScope, isInScope, isWhole } from '../domain/scope.ts'
import type { AuditFinding, PartitionReport } from './finding.ts'
import { KnownManifests } from './known-manifests.ts'

const DAY_CHARACTERS = 10
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
  readonly #ends = new Map<string, bigint>()
  foreignElsewhere = 0

  constructor(deps: StraysDeps) {
    this.#deps = deps
    this.#manifests = new KnownManifests(deps.bucket, deps.signal)
  }

  async look(): Promise<void> {
    const { bucket, scope, expected, signal } = this.#deps
    const listed = new KeyTally()
    const prefix = scope.project === undefined ? EVENTS_PREFIX : `${EVENTS_PREFIX}${scope.project}/`
    for await (const { key, bytes } of bucket.list(prefix, { signal })) {
      const name = parseObjectKey(key)
      if (name === undefined) this.#foreign(key, undefined, 'It has not the name of an object of events.')
      else if (isInScope(scope, name)) {
        if (await this.#isInFlight(name)) this.#inFlight(key, name)
        else listed.add(groupOf(name), key, bytes)
      }
    }
    const differing = listed.differing(expected)
    for (const group of differing) await this.#lookAt(group)
    if (this.#deps.bySize && differing.size > 0) await this.#lookForMissing(differing)
    if (isWhole(scope)) await this.#lookAtRepeats()
  }

  async #lookAt(group: string): Promise<void> {
    const { bucket, scope, signal, bySize, report, onFinding } = this.#deps
    for await (const { key, bytes } of bucket.list(group, { signal })) {
      const name = parseObjectKey(key)
      if (name === undefined || !isInScope(scope, name) || (await this.#isInFlight(name))) continue
      const known = await this.#manifests.of(name)
      if (known === 'unreadable') continue
      const size = known === 'none' ? undefined : known.get(key)
      if (size === undefined) this.#foreign(key, name, withoutManifest(name, known === 'none'))
      else if (bySize && size !== bytes) {
        report(name).damaged += 1
        const says = `It has ${bytes} bytes, its manifest says ${size}.`
        onFinding({ level: 'problem', kind: 'damaged_object', key, says, todo: damagedTodo(name) })
      }
    }
  }

  async #lookForMissing(groups: ReadonlySet<string>): Promise<void> {
    const { bucket, scope, signal, report, onFinding } = this.#deps
    for await (const { key: manifest, range } of this.#allRanges()) {
      const read = await readManifest(bucket, manifest, signal).catch(() => undefined) // it was told of when it was read first
      for (const object of read?.objects ?? []) {
        const name = { project: object.project, hourMs: Date.parse(object.hour) }
        if (!isInScope(scope, name) || !groups.has(groupOf(name))) continue
        if ((await bucket.head(object.key, signal)) !== undefined) continue
        report(range).missing += 1
        const says = 'It is not there.'
        onFinding({ level: 'problem', kind: 'missing_object', key: object.key, says, todo: damagedTodo(range) })
      }
    }
  }

  async *#allRanges(): AsyncGenerator<{ key: string; range: RangeName }> {
    const { bucket, signal } = this.#deps
    for (const partition of await archivedPartitions(bucket, signal)) {
      for await (const range of archivedRanges(bucket, partition, 0n, signal)) yield { key: range.key, range }
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
