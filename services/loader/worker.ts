import type { Registry } from 'prom-client'
import { EVENTS_TOPIC } from '../shared/log/topics.ts'
import { Slots } from '../shared/slots.ts'
import { type ClaimProgress, loadClaim } from './claim-loop.ts'
import { createErase, type KnownDeletions } from '../shared/deletions/domain/erase.ts'
import type { EffectDeps } from './effect.ts'
import { LoaderMetrics } from './metrics.ts'
import { RowBuffers } from './row-buffers.ts'
import type { LoaderSettings } from './settings.ts'

export const LOADER_GROUP = 'tributary.loader'

export interface LoaderDeps extends Omit<EffectDeps, 'metrics' | 'buffers' | 'erase'> {
  readonly registry: Registry
  readonly settings: LoaderSettings
  /** Caught up with the control topic, and following it. */
  readonly deletions: KnownDeletions
}

/**
 * Moves events from the log to the warehouse until `signal` aborts: every record of the topic is stored once, or known
 * as a repeat, or in the dead-letter topic, whatever crashes on the way. `migrate` must have run.
 * Rejects when it cannot go on (a bug, or an intent of a newer version); the process should then end and be started anew.
 */
export async function runLoader(deps: LoaderDeps, signal: AbortSignal): Promise<void> {
  const claims = new Map<number, ClaimProgress>()
  const metrics = new LoaderMetrics(deps.registry, async ({ lag, intentAge }) => {
    const nowMs = performance.now()
    for (const [partition, { batchSinceMs }] of claims) {
      intentAge.set({ partition: String(partition) }, batchSinceMs === undefined ? 0 : (nowMs - batchSinceMs) / 1000)
    }
    const ends = await deps.log.ends(EVENTS_TOPIC).catch(() => [])
    for (const { partition, end } of ends) {
      const claim = claims.get(partition)
      if (claim !== undefined) lag.set({ partition: String(partition) }, Number(end - claim.position))
    }
  })
  const slots = new Slots(deps.settings.batchesMax)
  const erase = createErase(deps.deletions)
  const buffers = new RowBuffers(deps.settings.batchesMax)
  // Batches are the loader's own read-ahead; the log's has to cover the time of one read.
  const bufferBytesMax = deps.settings.batchBytesMax
  await deps.log.consume({ topic: EVENTS_TOPIC, group: LOADER_GROUP, signal, bufferBytesMax }, async (claim) => {
    const { partition, committed } = claim
    const progress: ClaimProgress = { position: committed.offset, batchSinceMs: undefined }
    claims.set(partition, progress)
    const fields = { partition, offset: String(committed.offset), replay: committed.metadata !== '' }
    deps.logger.info(fields, 'partition taken')
    try {
      await loadClaim({ ...deps, metrics, buffers, erase }, slots, claim, progress)
    } finally {
      if (claims.get(partition) === progress) {
        claims.delete(partition)
        metrics.lag.remove({ partition: String(partition) })
        metrics.intentAge.remove({ partition: String(partition) })
      }
    }
  })
}
