import { join } from 'node:path'
import { EXPORTER_DEFAULTS } from '../../exporter/settings.ts'
import { runExporter } from '../../exporter/worker.ts'
import type { Config } from '../../shared/config.ts'
import { AppError } from '../../shared/errors.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Registry as Metrics } from '../../shared/telemetry/metrics.ts'
import { openArchive } from '../open/archive.ts'
import { startInBackground } from './background.ts'

export interface ExporterRoleDeps {
  readonly config: Config
  readonly log: EventLog
  readonly metrics: Metrics
  readonly logger: Logger
  /** The process has no other role, so that without an archive it has nothing to do. */
  readonly isAlone: boolean
}

/** Writes every event to the archive, where there is one. */
export async function startExporter(life: Life, deps: ExporterRoleDeps): Promise<void> {
  const { config, log, metrics, logger, isAlone } = deps
  const bucket = await openArchive(config.archive)
  if (bucket === undefined) {
    if (!isAlone) return
    throw new AppError('CONFIG_INVALID', 'There is no archive: set TRIBUTARY_ARCHIVE to a folder or a bucket.')
  }
  life.opened.adopt(bucket, (opened) => opened.close())
  logger.info({ archive: bucket.description }, 'every event goes to the archive')
  const settings = { ...EXPORTER_DEFAULTS, ...config.exporter }
  const folder = join(config.dataDir, 'exporter')
  startInBackground(life, 'exporter', (signal) =>
    runExporter({ log, bucket, folder, registry: metrics, settings, logger, now: Date.now }, signal),
  )
}
