import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import { AppError, isRetryable } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import { EVENTS_PREFIX, MANIFESTS_PREFIX, REPEATS_PREFIX } from '../domain/archive-key.ts'
import { COMPACTION_PREFIX } from '../domain/compaction.ts'
import { DELIVERIES_PREFIX } from '../domain/delivery.ts'

export const SWEEPS_GROUP = 'tributary.sweeps'
const SWEEPS_SHARE = shareOf('sweeps')

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** What the archive writes to; beside it, the bucket may have uploads of others. */
const PREFIXES = [EVENTS_PREFIX, MANIFESTS_PREFIX, REPEATS_PREFIX, DELIVERIES_PREFIX, COMPACTION_PREFIX] as const

/**
 * Removes the parts of uploads to the archive that were begun before a moment and never ended, of keys that start with
 * `prefix`; gives how many there were. Rejects as the calls of a `Bucket` do.
 */
export type SweepArchive = (prefix: string, before: Date, signal: AbortSignal) => Promise<number>

export interface SweepsDeps {
  readonly log: Pick<EventLog, 'consume'>
  readonly sweep: SweepArchive
  readonly registry: Registry
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Sweeps the archive until `signal` aborts, in one process of those that run: at its start and once a day. What fails is
 * told of and tried again, after an hour where there was no definite answer. Rejects as the log does.
 */
export async function runSweeps({ log, sweep, registry, logger, now }: SweepsDeps, signal: AbortSignal): Promise<void> {
  const meters = createMeters(registry)
  let dueMs = 0

  const work = async (share: Share): Promise<void> => {
    if (share.index !== SWEEPS_SHARE || now() < dueMs) return
    await share.confirm()
    const before = new Date(now() - DAY_MS)
    let uploads = 0
    try {
      for (const prefix of PREFIXES) {
        const swept = await sweep(prefix, before, share.signal)
        meters.uploads.inc(swept)
        uploads += swept
      }
      dueMs = now() + DAY_MS
      if (uploads > 0) logger.info({ uploads }, 'removed what broken uploads had left in the archive’s bucket')
    } catch (error) {
      if (share.signal.aborted) throw error
      dueMs = now() + (isRetryable(error) ? HOUR_MS : DAY_MS)
      meters.failures.inc({ reason: reasonOf(error) })
      logger.warn({ err: error }, 'what broken uploads left in the archive’s bucket could not be removed')
    }
  }
  await runShares({ log, group: SWEEPS_GROUP, work, signal })
}

function reasonOf(error: unknown): string {
  if (!(error instanceof AppError)) return 'unknown'
  const { reason } = error.details
  return typeof reason === 'string' ? reason : 'unavailable'
}

function createMeters(registry: Registry) {
  const registers = [registry]
  return {
    uploads: new Counter({
      name: 'archive_uploads_swept_total',
      help: 'Uploads to the archive that broke off and whose parts were removed.',
      registers,
    }),
    failures: new Counter({
      name: 'archive_sweep_failures_total',
      help: 'Times when they could not be removed.',
      labelNames: ['reason'] as const,
      registers,
    }),
  }
}
