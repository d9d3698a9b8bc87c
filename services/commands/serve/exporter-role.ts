import { join } from 'node:path'
import { trustArchive } from '../../exporter/archive/trust-archive.ts'
import { EXPORTER_DEFAULTS } from '../../exporter/settings.ts'
import { runExporter } from '../../exporter/worker.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Config } from '../../shared/config.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Registry as Metrics } from '../../shared/telemetry/metrics.ts'
import { startInBackground } from './background.ts'

export interface ExporterRoleDeps {
  readonly config: Config
  readonly log: EventLog
  readonly archive: Bucket
  readonly metrics: Metrics
  readonly logger: Logger
}

/** Writes every event to the archive. */
export function startExporter(life: Life, { config, log, archive, metrics, logger }: ExporterRoleDeps): void {
  const settings = { ...EXPORTER_DEFAULTS, ...config.exporter }
  const folder = join(config.dataDir, 'exporter')
  const common = { log, bucket: archive, folder, registry: metrics, settings, logger, now: Date.now }
  startInBackground(life, 'exporter', async (signal) => {
    try {
      await trustArchive(common, signal)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    await runExporter(common, signal)
  })
}
