import { join } from 'node:path'
import { hasCode, isRetryable } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import { Compaction } from '../compaction/compaction.ts'
import { CompactionMetrics } from '../compaction/metrics.ts'
import type { CompactionSettings } from '../compaction/settings.ts'
import { Erasures, type ErasuresDeps } from '../erasure/erasures.ts'
import { emptyOfDead } from '../spool/empty-of-dead.ts'
import { archivedSince } from './archived.ts'

export const UPKEEP_GROUP = 'tributary.upkeep'
/** All of it is of one share: what changes the archive's objects never does so beside something else that does. */
export const UPKEEP_SHARE = shareOf('archive')

const FAILED_AGAIN_MS = 60_000

export interface UpkeepDeps extends ErasuresDeps {
  readonly log: Pick<EventLog, 'consume' | 'committed' | 'ends'>
  readonly settings: CompactionSettings
}

/**
 * Changes what is in the archive already, in one process of those that run, one thing after the other, until `signal`
 * aborts: finishes the compaction that was begun, carries deletions out, then compacts what hours closed since. A deletion
 * waits until what was merged last is cleared, so that it meets each event once.
 */
export async function runUpkeep(deps: UpkeepDeps, signal: AbortSignal): Promise<void> {
  const { log, archive, settings, logger, now } = deps
  const folder = join(deps.folder, 'upkeep')
  await emptyOfDead(folder)
  const erasures = new Erasures({ ...deps, folder })
  let held: { readonly share: Share; readonly compaction: Compaction } | undefined
  const metrics = new CompactionMetrics(deps.registry, () => {
    const throughMs = held?.compaction.throughMs
    return throughMs === undefined ? undefined : (now() - throughMs) / 1_000
  })
  let failedAtMs = -FAILED_AGAIN_MS
  const isArchived = archivedSince(log, now)

  const compactionOf = (share: Share): Compaction => {
    if (held?.share.signal === share.signal) return held.compaction
    const common = { archive, folder, settings, metrics, logger, now, isArchived, signal: share.signal }
    held = { share, compaction: new Compaction({ ...common, confirm: () => share.confirm() }) }
    return held.compaction
  }

  /** Undefined when it failed, lately or now. */
  const guarded = async (share: Share, act: () => Promise<boolean>): Promise<boolean | undefined> => {
    if (now() < failedAtMs + FAILED_AGAIN_MS) return undefined
    try {
      return await act()
    } catch (error) {
      if (share.signal.aborted || hasCode(error, 'LOG_FENCED')) throw error
      failedAtMs = now()
      metrics.failures.inc({ reason: codeOf(error) })
      logger.error({ err: error }, 'the archive could not be compacted; it is tried again')
      if (!isRetryable(error) && !hasCode(error, 'ARCHIVE_DAMAGED') && !hasCode(error, 'BUCKET_REFUSED')) throw error
      return undefined
    }
  }

  const work = async (share: Share): Promise<void> => {
    if (share.index !== UPKEEP_SHARE) return
    const compaction = compactionOf(share)
    const isSettled = await guarded(share, async () => compaction.settle())
    const due = await erasures.due()
    if (isSettled === true) for (const deletion of due) if (!(await erasures.run(deletion, share))) break
    if (isSettled === undefined || due.length > 0 || !settings.enabled) return
    await guarded(share, async () => compaction.advance())
  }
  await runShares({ log, group: UPKEEP_GROUP, work, signal })
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
