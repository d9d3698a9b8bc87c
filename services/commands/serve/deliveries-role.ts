import { join } from 'node:path'
import { columnCatalogue } from '../../exporter/deliveries/column-catalogue.ts'
import { definedStreams } from '../../exporter/deliveries/defined-streams.ts'
import { DELIVERY_DEFAULTS } from '../../exporter/deliveries/settings.ts'
import { runDeliveries } from '../../exporter/deliveries/worker.ts'
import { COMPACTION_DEFAULTS } from '../../exporter/compaction/settings.ts'
import { runUpkeep } from '../../exporter/upkeep/worker.ts'
import { runSweeps } from '../../exporter/sweep/worker.ts'
import type { Config } from '../../shared/config.ts'
import type { OpenedOrganization } from '../../shared/config/organization.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Registry } from '../../shared/registry/registry.ts'
import { streamSecretsWith } from '../../shared/streams/secrets.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Registry as Metrics } from '../../shared/telemetry/metrics.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { archiveSweep } from '../open/archive.ts'
import { startInBackground } from './background.ts'

export interface DeliveriesRoleDeps {
  readonly config: Config
  readonly organization: OpenedOrganization
  readonly log: EventLog
  readonly registry: Registry
  readonly archive: Bucket
  /** Tells what columns files should have; undefined where there is none to ask. */
  readonly warehouse: (() => Promise<Warehouse>) | undefined
  readonly metrics: Metrics
  readonly logger: Logger
}

/** Carries out the projects' streams, from the archive, and looks after what is in it. */
export function startDeliveries(life: Life, deps: DeliveriesRoleDeps): void {
  const { config, organization, log, registry, archive, warehouse, metrics, logger } = deps
  const streams = definedStreams({
    definitions: registry.definitions,
    hasProject: (projectId) => registry.predefinedKeys(projectId).master !== undefined,
    secrets: streamSecretsWith(organization.secret),
    settings: config.streams,
    logger,
    now: Date.now,
  })
  const settings = { ...DELIVERY_DEFAULTS, ...config.deliveries }
  const folder = join(config.dataDir, 'exporter')
  const catalogue = warehouse && columnCatalogue(warehouse)
  const common = { log, archive, streams, catalogue, folder, registry: metrics, settings, logger, now: Date.now }
  startInBackground(life, 'deliveries', (signal) => runDeliveries(common, signal))
  const { definitions } = registry
  const upkeep = { log, archive, definitions, folder, registry: metrics, logger, now: Date.now }
  const compaction = { ...COMPACTION_DEFAULTS, ...config.compaction }
  startInBackground(life, 'upkeep', (signal) => runUpkeep({ ...upkeep, settings: compaction }, signal))
  const sweep = archiveSweep(config.archive)
  if (sweep === undefined) return
  startInBackground(life, 'sweeps', (signal) =>
    runSweeps({ log, sweep, registry: metrics, logger, now: Date.now }, signal),
  )
}
