import type { Bucket } from '../../shared/bucket/port.ts'
import {
  archivedPartitions,
  type ArchivedRange,
  archivedRanges,
  readNewest,
  type ReadManifest,
  readRange,
} from '../archive/read-archive.ts'
import { seekRange } from '../archive/seek-range.ts'
import type { ArchivedObject, Manifest } from '../domain/manifest.ts'
import { HOUR_MS, manifestKey, parseRangeKey } from '../domain/archive-key.ts'
import type { Cursor, Layout, Span } from '../domain/delivery.ts'

/** What is new in the archive for a course. */
export interface Survey {
  /** Of the ranges that hold something of it: the keys of their first manifests, whatever became of these since. */
  readonly manifests: readonly string[]
  readonly cursor: Cursor
  /** Of those that hold something: when the oldest record was written to the log; undefined when there is none. */
  readonly oldestMs: number | undefined
  /** How many manifests were looked at. */
  readonly looked: number
  /** More is there than one delivery takes. */
  readonly isFull: boolean
}

/** Manifests that one survey looks at: a stream that begins late in a long archive comes there by steps. */
const LOOKED_MAX = 2_000

/** Whether an object may hold events that a course wants. */
export function isWanted(object: ArchivedObject, project: string, { collections }: Layout, span: Span): boolean {
  const hourMs = Date.parse(object.hour)
  return (
    object.project === project &&
    (collections === null || collections.includes(object.collection)) &&
    hourMs + HOUR_MS > span.start_ms &&
    (span.end_ms === null || hourMs < span.end_ms)
  )
}

/**
 * Goes through the manifests after `from` (where it says nothing of a partition: from the course's start on), partition by partition by turns, until there is nothing more or the events of
 * one delivery are found. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function survey(
  archive: Bucket,
  read: ReadManifest,
  course: { readonly project: string; readonly layout: Layout; readonly span: Span },
  from: Cursor,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Survey> {
  const cursor: Record<string, string> = { ...from }
  const manifests: string[] = []
  let bytes = 0
  let looked = 0
  let oldestMs: number | undefined
  const partitions = await archivedPartitions(archive, signal)
  const walks: { readonly name: string; readonly ranges: AsyncGenerator<ArchivedRange> }[] = []
  for (const partition of partitions) {
    const name = `${partition.epoch}/${partition.partition}`
    cursor[name] ??= String(await seekRange(archive, read, partition, course.span.start_ms, signal))
    walks.push({ name, ranges: archivedRanges(archive, partition, BigInt(cursor[name]), signal) })
  }
  const open = new Set(walks)
  try {
    while (open.size > 0) {
      for (const walk of open) {
        if (bytes >= bytesMax || looked >= LOOKED_MAX) return { manifests, cursor, oldestMs, looked, isFull: true }
        const { value: range, done } = await walk.ranges.next()
        if (done === true || range === undefined) {
          open.delete(walk)
          continue
        }
        const { manifest } = await readRange(archive, range, signal, read)
        looked += 1
        cursor[walk.name] = String(range.last + 1n)
        const wanted = manifest.objects.filter((one) => isWanted(one, course.project, course.layout, course.span))
        if (wanted.length === 0) continue
        manifests.push(manifestKey(range))
        bytes += wanted.reduce((sum, object) => sum + object.content_bytes, 0)
        oldestMs = earlier(oldestMs, manifest)
      }
    }
    return { manifests, cursor, oldestMs, looked, isFull: false }
  } finally {
    for (const { ranges } of walks) await ranges.return(undefined)
  }
}

/**
 * When the oldest record of a plan's ranges was written to the log; undefined when all were erased. `manifests` are in the
 * order of a survey, so that the first one of each partition says it. Rejects as `survey` does.
 */
export async function oldestOf(
  archive: Bucket,
  read: ReadManifest,
  manifests: readonly string[],
  signal: AbortSignal,
): Promise<number | undefined> {
  const seen = new Set<string>()
  let oldestMs: number | undefined
  for (const key of manifests) {
    const { epoch, partition } = parseRangeKey(key) ?? { epoch: key, partition: 0 }
    if (seen.has(`${epoch}/${partition}`)) continue
    seen.add(`${epoch}/${partition}`)
    oldestMs = earlier(oldestMs, (await readNewest(archive, key, signal, read)).manifest)
  }
  return oldestMs
}

function earlier(oldestMs: number | undefined, { appended }: Manifest): number | undefined {
  return appended === null ? oldestMs : Math.min(oldestMs ?? Infinity, Date.parse(appended.first))
}
