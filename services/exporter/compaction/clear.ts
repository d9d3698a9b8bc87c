import type { Bucket } from '../../shared/bucket/port.ts'
import { hasCode } from '../../shared/errors.ts'
import { inParallel } from '../archive/in-parallel.ts'
import { manifestsOf, readManifest } from '../archive/read-archive.ts'
import type { CompactionPlan } from '../domain/compaction.ts'
import type { CompactionMetrics } from './metrics.ts'
import type { CompactionSettings } from './settings.ts'

export interface ClearDeps {
  readonly archive: Bucket
  readonly metrics: CompactionMetrics
  readonly settings: Pick<CompactionSettings, 'rangesAtOnce'>
}

/**
 * Removes what a plan's merged files stand in the place of: objects that their ranges' newest manifests do not name, then
 * the older manifests that do. Whatever else of these ranges was replaced is left to whom it belongs to. Done again, it
 * finds nothing. Rejects as the bucket does.
 */
export async function clear(deps: ClearDeps, plan: CompactionPlan, signal: AbortSignal): Promise<void> {
  const byRange = Map.groupBy(
    plan.merges.flatMap(({ pieces }) => pieces),
    ({ manifest }) => manifest,
  )
  await inParallel([...byRange], deps.settings.rangesAtOnce, async ([manifest, pieces]) => {
    signal.throwIfAborted()
    const keys = pieces.map(({ key }) => key)
    await clearRange(deps, manifest, keys, signal)
  })
}

async function clearRange(
  { archive, metrics }: ClearDeps,
  firstKey: string,
  pieces: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const manifests = await manifestsOf(archive, firstKey, signal)
  const newest = manifests.pop()
  if (newest === undefined) return
  const named = await namesOf(archive, newest, signal)
  if (named === undefined) return
  const replaced = new Set(pieces.filter((key) => !named.has(key)))
  for (const key of replaced) {
    await archive.delete(key, signal)
    metrics.removed.inc({ what: 'objects' })
  }
  for (const old of manifests) {
    if ((await namesOf(archive, old, signal))?.isDisjointFrom(replaced) !== false) continue
    await archive.delete(old, signal)
    metrics.removed.inc({ what: 'manifests' })
  }
}

/** Keys of its objects; undefined for a manifest that cannot be read, which nothing is concluded from. */
async function namesOf(
  archive: Bucket,
  manifest: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set((await readManifest(archive, manifest, signal)).objects.map(({ key }) => key))
  } catch (error) {
    if (hasCode(error, 'ARCHIVE_DAMAGED')) return undefined
    throw error
  }
}
