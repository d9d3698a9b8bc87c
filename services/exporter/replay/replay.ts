import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import type { PlacedEvent } from '../../shared/events/rows.ts'
import { loggedEvent } from '../archive/logged-event.ts'
import {
  archivedPartitions,
  archivedRanges,
  readNewest,
  readObject,
  readObjectNow,
  readRange,
} from '../archive/read-archive.ts'
import {
  RANGES_A_QUESTION,
  storedIds,
  storedPrints,
  storedRepeatCounts,
  storedRepeatOffsets,
} from '../archive/stored-ranges.ts'
import { manifestKey, type PartitionName } from '../domain/archive-key.ts'
import type { ArchivedObject } from '../domain/manifest.ts'
import { type Offsets, RangeCover } from '../domain/range-cover.ts'
import { type ArchiveScope, isInScope, scopeName, toHours } from '../domain/scope.ts'
import { type InsertDeps, RangeInserts } from './range-inserts.ts'
import { ReplayRun } from './replay-run.ts'

/** A part closes when it has this many events or bytes of them, as a batch of the loader does. */
const PART_EVENTS_MAX = 25_000
const PART_BYTES_MAX = 16 * 1024 * 1024

export interface ReplayDeps extends InsertDeps {
  readonly bucket: Bucket
  readonly scope: ArchiveScope
  /** This one alone, of every epoch; undefined: all. */
  readonly partition: number | undefined
  /** Offsets from here on are the loader's to load, now or when it runs again; undefined: none are. */
  readonly loadedTo: (partition: PartitionName) => bigint | undefined
  /** Takes no notice of an earlier run that was stopped. */
  readonly anew: boolean
  readonly onStart: (ranges: number, isResumed: boolean) => void
  /** After each range. */
  readonly onProgress: (ranges: number, report: ReplayReport) => void
}

export interface ReplayReport {
  /** Ranges that were looked at, and those that an earlier attempt had done. */
  ranges: number
  skipped: number
  inserted: number
  /** In the warehouse already. */
  present: number
  erased: number
  refused: number
  /** Of ranges that the loader has not come to; it loads them itself. */
  notLoaded: number
  /** Offsets between the ranges that are in no manifest. */
  gaps: number
}

interface WaitingRange extends Offsets {
  /** Of its first manifest. */
  readonly key: string
  /** Those in the scope. */
  readonly events: number
  readonly isWhole: boolean
}

/**
 * Puts what the warehouse lacks of the archive into it: the same rows that the loader made, without what was deleted.
 * A range that is there whole is passed over; of one that is there in part, only what is missing is inserted. Stopped or
 * killed, the next replay of the scope goes on, and nothing is there twice.
 *
 * One replay at a time. `migrate` must have run. Rejects with ARCHIVE_DAMAGED for an archive that the audit has to look
 * at first, with SHUTTING_DOWN or the signal's reason when that aborted, else as the bucket and the warehouse do.
 */
export async function replay(deps: ReplayDeps): Promise<ReplayReport> {
  return new Replay(deps).run()
}

class Replay {
  readonly #deps: ReplayDeps
  readonly #scope: ArchiveScope
  readonly #report: ReplayReport = {
    ranges: 0,
    skipped: 0,
    inserted: 0,
    present: 0,
    erased: 0,
    refused: 0,
    notLoaded: 0,
    gaps: 0,
  }

  constructor(deps: ReplayDeps) {
    this.#deps = deps
    this.#scope = toHours(deps.scope)
  }

  async run(): Promise<ReplayReport> {
    const { bucket, warehouse, partition, anew, signal, onStart } = this.#deps
    const all = await archivedPartitions(bucket, signal)
    const partitions = all.filter((one) => partition === undefined || one.partition === partition)
    let total = 0
    for (const one of partitions) for await (const _ of archivedRanges(bucket, one, 0n, signal)) total += 1
    const run = await ReplayRun.open(warehouse, `${scopeName(this.#scope)} ${partition ?? '*'}`, anew, signal)
    onStart(total, run.isResumed)
    for (const one of partitions) await this.#partition(run, one)
    await run.finish()
    return this.#report
  }

  async #partition(run: ReplayRun, partition: PartitionName): Promise<void> {
    const { bucket, signal, loadedTo } = this.#deps
    const limit = loadedTo(partition)
    const done = run.next(partition)
    const cover = new RangeCover(undefined)
    let waiting: WaitingRange[] = []
    for await (const range of archivedRanges(bucket, partition, 0n, signal)) {
      const { first, last, key } = range
      const fault = cover.add({ first, last })
      if (fault?.kind === 'gap') this.#report.gaps += 1
      if (fault?.kind === 'overlap') {
        const message = 'Two manifests of the archive overlap. `tributary audit` says more; put it right, then replay.'
        throw new AppError('ARCHIVE_DAMAGED', message, { details: { key } })
      }
      if (last < done) {
        this.#report.skipped += 1
        this.#passed()
        continue
      }
      const { objects } = (await readRange(bucket, range, signal)).manifest
      const events = this.#inScope(objects).reduce((sum, object) => sum + object.events, 0)
      if (limit !== undefined && first >= limit) {
        this.#report.notLoaded += events
        this.#passed()
        continue
      }
      const isWhole = limit === undefined || last < limit
      waiting.push({ first, last: isWhole ? last : limit - 1n, key: manifestKey(range), events, isWhole })
      if (waiting.length < RANGES_A_QUESTION) continue
      await this.#ranges(run, partition, waiting)
      waiting = []
    }
    await this.#ranges(run, partition, waiting)
  }

  async #ranges(run: ReplayRun, partition: PartitionName, ranges: readonly WaitingRange[]): Promise<void> {
    const { warehouse, signal } = this.#deps
    const prints = await storedPrints(warehouse, partition, ranges, this.#scope, signal)
    const repeats = await storedRepeatCounts(warehouse, partition, ranges, signal)
    for (const [index, range] of ranges.entries()) {
      signal.throwIfAborted()
      const stored = prints[index]?.count ?? 0
      if (range.isWhole && stored === range.events) this.#report.present += stored
      else {
        await this.#range(run, partition, range, stored > 0, (repeats[index] ?? 0) > 0)
        // Of a range that is cut short, the rest may be for a later attempt.
        if (range.isWhole) await run.done(partition, range.last + 1n)
      }
      this.#passed()
    }
  }

  async #range(
    run: ReplayRun,
    partition: PartitionName,
    range: WaitingRange,
    hasEvents: boolean,
    hasRepeats: boolean,
  ): Promise<void> {
    const { bucket, warehouse, signal } = this.#deps
    const ids = hasEvents ? await storedIds(warehouse, partition, range, this.#scope, signal) : new Map<bigint, never>()
    const keys = hasRepeats ? await storedRepeatOffsets(warehouse, partition, range, signal) : new Set<bigint>()
    const stored = { hasEvent: (offset: bigint) => ids.has(offset), hasRepeat: (offset: bigint) => keys.has(offset) }
    const { epoch, partition: number } = partition
    const token = `replay/${run.id}/${epoch}/${number}/${range.first}-${range.last}`
    const inserts = new RangeInserts(this.#deps, epoch, token, stored)
    let part: PlacedEvent[] = []
    let bytes = 0
    let parts = 0
    const flush = async (): Promise<void> => {
      signal.throwIfAborted()
      await inserts.store(parts, part)
      parts += 1
      part = []
      bytes = 0
    }
    const { objects } = (await readNewest(bucket, range.key, signal)).manifest
    for (const object of this.#inScope(objects)) {
      for await (const batch of readObjectNow(readObject, bucket, range.key, object, signal)) {
        for (const archived of batch) {
          const { offset } = archived
          if (offset > range.last) {
            this.#report.notLoaded += 1
            continue
          }
          const event = loggedEvent(object, archived)
          // The batch's bytes are gone with the next one.
          part.push({
            event: { ...event, properties: Buffer.from(event.properties) },
            record: { partition: number, offset },
          })
          bytes += event.properties.length
          if (part.length >= PART_EVENTS_MAX || bytes >= PART_BYTES_MAX) await flush()
        }
      }
    }
    await flush()
    const { inserted, present, erased, refused } = inserts.outcome
    this.#report.inserted += inserted
    this.#report.present += present
    this.#report.erased += erased
    this.#report.refused += refused
  }

  #inScope(objects: readonly ArchivedObject[]): readonly ArchivedObject[] {
    return objects.filter(({ project, hour }) => isInScope(this.#scope, { project, hourMs: Date.parse(hour) }))
  }

  #passed(): void {
    this.#report.ranges += 1
    this.#deps.onProgress(this.#report.ranges, this.#report)
  }
}
