import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Bucket } from '../shared/bucket/port.ts'
import type { EventLog } from '../shared/log/port.ts'
import { EVENTS_TOPIC } from '../shared/log/topics.ts'
import { Slots } from '../shared/slots.ts'
import { type ClaimProgress, exportClaim } from './archive/claim-loop.ts'
import { emptyOfDead } from './spool/empty-of-dead.ts'
import { MemoryBudget } from './spool/memory-budget.ts'
import { RepeatIndex } from './archive/repeat-index.ts'
import { ExporterMetrics } from './metrics.ts'
import type { ExporterSettings } from './settings.ts'

export const EXPORTER_GROUP = 'tributary.exporter'

/** Of records that the consumer reads ahead, over all partitions. */
const READ_AHEAD_BYTES = 32 * 1024 * 1024

export interface ExporterDeps {
  readonly log: EventLog
  /** The archive. */
  readonly bucket: Bucket
  /** This process's own, for what waits for its range to be sealed, and for what it knows of repeats. */
  readonly folder: string
  readonly registry: Registry
  readonly settings: ExporterSettings
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly now: () => number
}

/**
 * Moves events from the log to the archive until `signal` aborts: every record of the topic is in the archive once, or
 * counted there as a repeat or as unusable, whatever crashes on the way.
 * Rejects when it cannot go on (a bug, or an intent of a newer version); the process should then end and be started anew.
 */
export async function runExporter(deps: ExporterDeps, signal: AbortSignal): Promise<void> {
  const { log, bucket, settings, logger, now } = deps
  const claims = new Map<number, ClaimProgress>()
  const folder = join(deps.folder, 'spool')
  await emptyOfDead(folder)
  const budget = new MemoryBudget(settings.memoryBytesMax)
  const spoolBytes = (): number => [...claims.values()].reduce((sum, claim) => sum + claim.spoolBytes, 0)
  const metrics = new ExporterMetrics(deps.registry, async ({ lag, lagSeconds, intentAge, spool, memory }) => {
    spool.set(spoolBytes())
    memory.set(budget.bytes)
    const ends = await log.ends(EVENTS_TOPIC).catch(() => [])
    // A partition that another process has now is for that one to tell of.
    for (const gauge of [lag, lagSeconds, intentAge]) gauge.reset()
    for (const [partition, { oldestMs, rangeSinceMs }] of claims) {
      const labels = { partition: String(partition) }
      lagSeconds.set(labels, oldestMs === undefined ? 0 : Math.max(0, now() - oldestMs) / 1_000)
      intentAge.set(labels, rangeSinceMs === undefined ? 0 : (performance.now() - rangeSinceMs) / 1_000)
    }
    for (const { partition, end } of ends) {
      const claim = claims.get(partition)
      if (claim !== undefined) lag.set({ partition: String(partition) }, Number(end - claim.position))
    }
  })
  const index = new RepeatIndex(join(deps.folder, 'repeats'))
  const uploads = new Slots(settings.uploadsMax)
  const shared = { log, bucket, folder, settings, metrics, uploads, logger, budget, index, spoolBytes, now }
  try {
    await log.consume(
      { topic: EVENTS_TOPIC, group: EXPORTER_GROUP, signal, bufferBytesMax: READ_AHEAD_BYTES },
      async (claim) => {
        const { partition, committed } = claim
        const progress: ClaimProgress = {
          position: committed.offset,
          oldestMs: undefined,
          rangeSinceMs: undefined,
          spoolBytes: 0,
        }
        claims.set(partition, progress)
        logger.info({ partition, offset: String(committed.offset) }, 'a partition is exported from here on')
        try {
          await exportClaim(shared, claim, progress)
        } finally {
          claims.delete(partition)
        }
      },
    )
  } finally {
    await index.close()
  }
}
