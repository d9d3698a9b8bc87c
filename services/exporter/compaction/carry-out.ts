import type { Logger } from 'pino'
import { hasCode } from '../../shared/errors.ts'
import { inParallel } from '../archive/in-parallel.ts'
import { readNewest } from '../archive/read-archive.ts'
import { reviseRange } from '../archive/revise-range.ts'
import { type CompactionPlan, fileBytesOf, type Merge, type Place, placesOf } from '../domain/compaction.ts'
import { withMerged } from '../domain/with-merged.ts'
import { type StoreDeps, storeMerged } from './merged-file.ts'
import type { CompactionMetrics } from './metrics.ts'
import type { CompactionSettings } from './settings.ts'

export interface CarryOutDeps extends StoreDeps {
  readonly metrics: CompactionMetrics
  readonly settings: Pick<CompactionSettings, 'mergesAtOnce' | 'rangesAtOnce'>
  readonly logger: Pick<Logger, 'warn'>
}

/**
 * Writes a plan's merged files, then gives each range one manifest that names them all. Old objects and manifests stay.
 * Broken off anywhere, it is done again and comes to the same; a reader of manifests sees each event once all the while.
 * Rejects as the bucket does, and with ARCHIVE_DAMAGED for a manifest that cannot be read.
 */
export async function carryOut(deps: CarryOutDeps, plan: CompactionPlan, signal: AbortSignal): Promise<void> {
  const { archive, settings, metrics, confirm } = deps
  const named = namesOfRanges(deps, plan, signal)
  const ranges = new Set(plan.merges.flatMap(({ pieces }) => pieces.map(({ manifest }) => manifest)))
  await inParallel([...ranges], settings.rangesAtOnce, async (manifest) => void (await named(manifest)))
  const byRange = new Map<string, Map<string, Place>>()
  await inParallel(plan.merges, settings.mergesAtOnce, async (merge) => {
    if (!(await store(deps, merge, named, signal))) return
    for (const { piece, place } of placesOf(merge)) {
      const places = byRange.get(piece.manifest) ?? new Map<string, Place>()
      byRange.set(piece.manifest, places.set(piece.key, place))
    }
  })
  await confirm()
  await inParallel([...byRange], settings.rangesAtOnce, async ([manifest, places]) => {
    signal.throwIfAborted()
    if ((await named(manifest)).size === 0) return // nothing of the plan is in it, or it is not there any more
    if (await reviseRange(archive, manifest, (newest) => withMerged(newest, places), signal)) metrics.ranges.inc()
  })
}

type NamesOfRange = (manifest: string) => Promise<ReadonlySet<string>>

/** Of the plan's keys, those that a range's newest manifest names, asked for once; none when the range is not there any more. */
function namesOfRanges({ archive }: CarryOutDeps, plan: CompactionPlan, signal: AbortSignal): NamesOfRange {
  const keys = new Set(plan.merges.flatMap((merge) => [merge.key, ...merge.pieces.map(({ key }) => key)]))
  const known = new Map<string, Promise<ReadonlySet<string>>>()
  const read = async (manifest: string): Promise<ReadonlySet<string>> => {
    try {
      const newest = await readNewest(archive, manifest, signal)
      return new Set(newest.manifest.objects.map(({ key }) => key).filter((key) => keys.has(key)))
    } catch (error) {
      if (hasCode(error, 'ARCHIVE_DAMAGED')) return new Set()
      throw error
    }
  }
  return async (manifest) => {
    const names = known.get(manifest) ?? read(manifest)
    known.set(manifest, names)
    return names
  }
}

/** False when its pieces stay as they are. */
async function store(deps: CarryOutDeps, merge: Merge, named: NamesOfRange, signal: AbortSignal): Promise<boolean> {
  const { archive, metrics, logger } = deps
  signal.throwIfAborted()
  const { key, pieces } = merge
  let isGone = false
  for (const piece of pieces) {
    const names = await named(piece.manifest)
    if (names.has(key)) return true // an earlier attempt came as far as that
    isGone ||= !names.has(piece.key)
  }
  const outcome = isGone ? 'gone' : await storeMerged(deps, merge, signal)
  switch (outcome) {
    case 'written':
    case 'matched':
      metrics.files.inc({ outcome })
      metrics.merged.inc(pieces.length)
      metrics.bytes.inc(fileBytesOf(merge))
      return true
    case 'gone': // erased meanwhile: what is left of it stays as it is
      break
    case 'damaged':
    case 'mismatched':
      logger.warn({ key, outcome, bucket: archive.description }, 'objects of the archive cannot be merged')
      break
    default:
      return outcome satisfies never
  }
  metrics.dropped.inc({ reason: outcome })
  return false
}
