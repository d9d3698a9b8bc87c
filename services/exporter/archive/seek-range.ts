import type { Bucket } from '../../shared/bucket/port.ts'
import type { PartitionName } from '../domain/archive-key.ts'
import type { Manifest } from '../domain/manifest.ts'
import { type ArchivedRange, archivedRanges } from './read-archive.ts'

/** Clocks of brokers and of those that wrote the archive differ by less. */
const CLOCKS_DIFFER_MS = 3_600_000

/**
 * Where in a partition to begin, to find all that arrived at `sinceMs` (milliseconds since 1970) or later: every range before that
 * offset was written to the log earlier. Ranges' times grow with their offsets, so that a few dozen are looked at, however
 * many there are. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function seekRange(
  archive: Bucket,
  read: (key: string, signal: AbortSignal) => Promise<Manifest>,
  partition: PartitionName,
  sinceMs: number,
  signal: AbortSignal,
): Promise<bigint> {
  /** The first range from an offset on, when it is old. */
  const oldRangeAt = async (offset: bigint): Promise<ArchivedRange | undefined> => {
    for await (const range of archivedRanges(archive, partition, offset, signal)) {
      const { appended } = await read(range.key, signal)
      // Of one that has no records any more nobody knows: it is looked at.
      return appended !== null && Date.parse(appended.last) < sinceMs - CLOCKS_DIFFER_MS ? range : undefined
    }
    return undefined
  }
  /** What lies before it is old. */
  let from = 0n
  /** What begins here is not, or nothing does. */
  let end: bigint | undefined
  let step = 0n
  while (end === undefined || from < end) {
    const at: bigint = end === undefined ? from + step : (from + end) / 2n
    const old = await oldRangeAt(at)
    if (old === undefined) end = at
    else {
      from = old.last + 1n
      const offsets = from - old.first
      step = 2n * step > offsets ? 2n * step : offsets
    }
  }
  return from
}
