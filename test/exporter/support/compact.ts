import { Registry } from 'prom-client'
import { Compaction } from '../../../services/exporter/compaction/compaction.ts'
import { CompactionMetrics } from '../../../services/exporter/compaction/metrics.ts'
import { COMPACTION_DEFAULTS } from '../../../services/exporter/compaction/settings.ts'
import type { Bucket } from '../../../services/shared/bucket/port.ts'

/** Merges all that there is up to `nowMs`, and removes what was replaced. `folder` is for files on their way. */
export async function compact(archive: Bucket, folder: string, nowMs: number, targetBytes = 1e9): Promise<void> {
  const compaction = new Compaction({
    archive,
    folder,
    settings: { ...COMPACTION_DEFAULTS, targetBytes, graceMs: 0 },
    metrics: new CompactionMetrics(new Registry(), () => undefined),
    logger: { info: () => undefined, warn: () => undefined },
    isArchived: async () => true,
    confirm: async () => undefined,
    signal: new AbortController().signal,
    now: () => nowMs,
  })
  await compaction.settle()
  while (await compaction.advance()) await compaction.settle()
  await compaction.settle()
}
