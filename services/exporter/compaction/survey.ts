import type { Bucket } from '../../shared/bucket/port.ts'
import { archivedPartitions, archivedRanges, readRange } from '../archive/read-archive.ts'
import { manifestKey } from '../domain/archive-key.ts'
import type { Cursor } from '../domain/compaction.ts'
import type { ArchivedObject } from '../domain/manifest.ts'
import { type Candidate, isCandidate } from '../domain/plan-merges.ts'
import type { CompactionSettings } from './settings.ts'

/** What of the archive is there to be merged. */
export interface Survey {
  readonly candidates: readonly Candidate[]
  readonly cursor: Cursor
  /** How many manifests were looked at. */
  readonly looked: number
  /** More is there than one plan takes. */
  readonly isFull: boolean
}

/**
 * Goes through the ranges from the cursor on, of all partitions in the order of time, up to those of hours that are open:
 * `openFromMs` is the start of the first of these. A range that goes on into an open hour gives what it has of closed ones,
 * and the cursor stays before it. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function survey(
  archive: Bucket,
  from: Cursor,
  openFromMs: number,
  settings: Pick<CompactionSettings, 'targetBytes' | 'piecesMax' | 'rangesMax'>,
  signal: AbortSignal,
): Promise<Survey> {
  const cursor: Record<string, string> = { ...from }
  const candidates: Candidate[] = []
  let looked = 0
  const walks = (await archivedPartitions(archive, signal)).map((partition) => {
    const name = `${partition.epoch}/${partition.partition}`
    const ranges = archivedRanges(archive, partition, BigInt(cursor[name] ?? 0), signal)
    return { name, ranges, lastMs: 0, isHeld: false }
  })
  const open = new Set(walks)
  try {
    while (open.size > 0) {
      if (candidates.length >= settings.piecesMax || looked >= settings.rangesMax) {
        return { candidates, cursor, looked, isFull: true }
      }
      const walk = [...open].reduce((a, b) => (b.lastMs < a.lastMs ? b : a))
      const { value: range, done } = await walk.ranges.next()
      if (done === true || range === undefined) {
        open.delete(walk)
        continue
      }
      const { objects, appended } = (await readRange(archive, range, signal)).manifest
      looked += 1
      if (appended !== null && Date.parse(appended.first) >= openFromMs) {
        open.delete(walk)
        continue
      }
      const lastMs = appended === null ? walk.lastMs : Date.parse(appended.last)
      walk.lastMs = Math.max(walk.lastMs, lastMs)
      walk.isHeld ||= objects.some(({ hour }) => isOfOpenHour(Date.parse(hour), openFromMs, lastMs))
      if (!walk.isHeld) cursor[walk.name] = String(range.last + 1n)
      const isWanted = (object: ArchivedObject): boolean =>
        isCandidate(object, settings.targetBytes) && Date.parse(object.hour) < openFromMs
      const manifest = manifestKey(range)
      for (const object of objects) if (isWanted(object)) candidates.push({ manifest, object })
    }
    return { candidates, cursor, looked, isFull: false }
  } finally {
    for (const { ranges } of walks) await ranges.return(undefined)
  }
}

/** An hour that lies ahead of the range's own time is some clock's error: it would hold the cursor for as long as that is. */
const isOfOpenHour = (hourMs: number, openFromMs: number, lastMs: number): boolean =>
  hourMs >= openFromMs && hourMs <= lastMs
