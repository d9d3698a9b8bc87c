import packageJson from '../../../package.json' with { type: 'json' }
import { ADMIN_SETTINGS, registerAdmin } from '../../admin/app.ts'
import { openEnrichmentSources } from '../../ingest/enrichment-sources.ts'
import { registerIngest } from '../../ingest/register.ts'
import { INGEST_DEFAULTS } from '../../ingest/settings.ts'
import { LOADER_DEFAULTS } from '../../loader/settings.ts'
import { runLoader } from '../../loader/worker.ts'
import type { DeletionIndex } from '../../shared/deletions/deletion-index.ts'
import { followDeletions } from '../../shared/deletions/follow.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Config } from '../../shared/config.ts'
import { AppError } from '../../shared/errors.ts'
import { lockDataDir } from '../../shared/config/data-lock.ts'
import { makeDataDir, type OpenedOrganization, openOrganization } from '../../shared/config/organization.ts'
import { clientAddressBehind } from '../../shared/http/client-address.ts'
import { registerDiscovery } from '../../shared/http/discovery.ts'
import { buildServer } from '../../shared/http/server.ts'
import { type Life, live } from '../../shared/lifecycle.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../shared/log/topics.ts'
import { openRegistry, type Registry } from '../../shared/registry/registry.ts'
import { createLogger, type Logger } from '../../shared/telemetry/logger.ts'
import { streamSecretsWith } from '../../shared/streams/secrets.ts'
import { createReadiness } from '../../shared/telemetry/health.ts'
import { createMetrics } from '../../shared/telemetry/metrics.ts'
import { migrate } from '../../shared/warehouse/migrate.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { openArchive } from '../open/archive.ts'
import { openLog } from '../open/log.ts'
import { openWarehouse } from '../open/warehouse.ts'
import type { Role } from '../serve.ts'
import { startInBackground } from './background.ts'
import { collectionsOf } from './collections.ts'
import { banner } from './banner.ts'
import { listen } from './listen.ts'
import { startDeliveries } from './deliveries-role.ts'
import { startExporter } from './exporter-role.ts'
import { startQuery } from './query-role.ts'
import { warehouseOnDemand } from './warehouse-on-demand.ts'
import { readinessChecks } from './readiness.ts'

/** Others that start at the same time (Kafka, ClickHouse) are waited for this long. */
const START_PATIENCE_MS = 120_000

export interface ServeOptions {
  readonly name: string
  readonly roles: readonly Role[]
  readonly config: Config
  /** A person looks on: a banner, and fewer lines. */
  readonly isTerminal: boolean
}

/** Runs one process until it is told to stop; resolves with its exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  const { name, config } = options
  const logger = createLogger({ level: options.isTerminal ? quieter(config.logLevel) : config.logLevel, service: name })
  return live({ drainMs: config.drainMs, log: logger, process }, (life) => start(life, logger, options))
}

/**
 * Opens, in this order: the data folder, the organization, the log, the warehouse, the registry, the loader, the HTTP
 * server. They close in reverse: first nothing new is accepted, then what is in hand is finished, then the rest goes.
 */
async function start(life: Life, logger: Logger, { roles, config, isTerminal }: ServeOptions): Promise<void> {
  const { opened } = life
  const has = (...some: readonly Role[]): boolean => some.some((role) => roles.includes(role))
  const metrics = createMetrics()
  const embedded = config.log.kind === 'lmdb' || config.warehouse.kind === 'chdb'
  const needsWarehouse = has('loader', 'query')
  if (embedded || has('exporter', 'deliveries')) await makeDataDir(config.dataDir)
  if (needsWarehouse && config.warehouse.kind === 'chdb') opened.defer(await lockDataDir(config.dataDir))

  const organization = has('ingest', 'query', 'admin', 'deliveries')
    ? await openOrganization({
        dataDir: config.dataDir,
        fromSettings: config.organization,
        mayCreate: config.log.kind === 'lmdb',
      })
    : undefined
  if (organization?.isNew === true) {
    logger.info({ file: organization.file, organization: organization.id }, 'organization made; its key is in the file')
  }
  const patience = AbortSignal.any([life.signal, AbortSignal.timeout(START_PATIENCE_MS)])
  const log = opened.adopt(await openLog(config, logger), (log) => log.close())
  const topics = await log.ensureTopics(topicSpecs(config.topics))
  const warehouse = needsWarehouse ? await openMigrated(life, config, logger, patience) : undefined
  const onDemand = warehouseOnDemand(life, config, warehouse)
  const registry = organization && (await openFollowed(life, { organization, log, metrics, logger }))
  if (has('loader') && warehouse !== undefined) {
    const deletions = registry === undefined ? await openDeletions(life, log) : registry.deletions
    const settings = { ...LOADER_DEFAULTS, ...config.loader }
    const deps = { log, warehouse, logger, registry: metrics, settings, deletions }
    startInBackground(life, 'loader', async (signal) => runLoader(deps, signal))
  }

  const archive = has('exporter', 'deliveries') ? await openArchiveFor(life, config, roles.length === 1) : undefined
  if (archive !== undefined) {
    logger.info({ archive: archive.description }, 'every event goes to the archive')
    if (has('exporter')) startExporter(life, { config, log, archive, metrics, logger })
    if (has('deliveries') && organization !== undefined && registry !== undefined) {
      startDeliveries(life, { config, organization, log, registry, archive, warehouse: onDemand, metrics, logger })
    }
  }

  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: config.ingest.bodyBytesMax,
    isReady: createReadiness(
      readinessChecks({
        log,
        warehouse,
        registry,
        folder: embedded ? config.dataDir : undefined,
        draining: life.signal,
      }),
    ),
  })
  registerDiscovery(app)
  if (registry !== undefined && organization !== undefined) {
    if (has('ingest')) {
      registerIngest(app, {
        log,
        // The topic's own: where it was made with another number than is set now, repeats must still meet.
        eventPartitions: topics.find(({ name }) => name === EVENTS_TOPIC)?.partitions ?? config.topics.eventPartitions,
        authenticator: registry,
        metrics,
        settings: { ...INGEST_DEFAULTS, ...config.ingest },
        sources: await openEnrichmentSources(config.ingest.geoDatabase),
        clientAddress: clientAddressBehind(config.ingest.trustedProxies),
        now: Date.now,
        logger,
      })
    }
    if (has('admin')) {
      const collections = onDemand && collectionsOf(config, onDemand)
      const streams = { secrets: streamSecretsWith(organization.secret), settings: config.streams, now: Date.now }
      const deps = { registry, metrics, logger, settings: ADMIN_SETTINGS, streams }
      registerAdmin(app, { ...deps, ...(collections === undefined ? {} : { collections }) })
    }
    if (has('query') && warehouse !== undefined) {
      startQuery(life, app, { config, organization, log, warehouse, registry, metrics, logger })
    }
  }
  opened.defer(async () => app.close())
  const url = await listen(app, config.server)
  logger.info({ url, roles, log: log.kind, warehouse: warehouse?.kind }, 'listening')
  if (isTerminal && organization !== undefined) {
    const at = { log: place(config.log), warehouse: place(config.warehouse) }
    process.stdout.write(banner({ version: packageJson.version, url, organization, cwd: process.cwd(), ...at }))
  }
}

/** Undefined when there is none, in a process that has other things to do. */
async function openArchiveFor(life: Life, config: Config, isAlone: boolean): Promise<Bucket | undefined> {
  const archive = await openArchive(config.archive)
  if (archive !== undefined) return life.opened.adopt(archive, (opened) => opened.close())
  if (!isAlone) return undefined
  throw new AppError('CONFIG_INVALID', 'There is no archive: set TRIBUTARY_ARCHIVE to a folder or a bucket.')
}

/** For a process without a registry. */
async function openDeletions(life: Life, log: EventLog): Promise<DeletionIndex> {
  const followed = await followDeletions(log, life.signal)
  life.opened.defer(async () => followed.close())
  life.background('deletions of the loader', untilFailed(followed.failed, life.signal))
  return followed.deletions
}

async function openMigrated(life: Life, config: Config, logger: Logger, signal: AbortSignal): Promise<Warehouse> {
  const warehouse = life.opened.adopt(await openWarehouse(config, signal), (warehouse) => warehouse.close())
  const applied = await migrate(warehouse, { signal, syncInserts: warehouse.kind === 'chdb' })
  if (applied.length > 0) logger.info({ applied }, 'warehouse migrated')
  return warehouse
}

async function openFollowed(
  life: Life,
  deps: {
    readonly organization: OpenedOrganization
    readonly log: EventLog
    readonly metrics: ReturnType<typeof createMetrics>
    readonly logger: Logger
  },
): Promise<Registry> {
  const { id, key, secret } = deps.organization
  const registry = life.opened.adopt(
    await openRegistry({ ...deps, secret, organization: { id, key }, now: Date.now, signal: life.signal }),
    (registry) => registry.close(),
  )
  life.background('registry', untilFailed(registry.failed, life.signal))
  return registry
}

/** Rejects with the reason when `failed` aborts, resolves when `stop` does. */
function untilFailed(failed: AbortSignal, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(failed.reason as Error)
    if (failed.aborted) fail()
    failed.addEventListener('abort', fail, { once: true })
    stop.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Stops and is waited for when its place among what was opened comes. */
/** On a terminal the banner says what the lines at `info` would. */
const quieter = (level: Config['logLevel']): Config['logLevel'] => (level === 'info' ? 'warn' : level)

const place = (part: Config['log'] | Config['warehouse']): string => {
  switch (part.kind) {
    case 'lmdb':
      return `embedded, in ${part.folder}`
    case 'chdb':
      return `embedded ClickHouse, in ${part.folder}`
    case 'kafka':
      return `Kafka at ${part.brokers.join(', ')}`
    case 'http':
      return `ClickHouse at ${part.url}`
    default:
      return part satisfies never
  }
}
