import type { FastifyInstance } from 'fastify'
import { ADMIN_SETTINGS, registerAdmin } from '../../services/admin/app.ts'
import { openEnrichmentSources } from '../../services/ingest/enrichment-sources.ts'
import { registerIngest } from '../../services/ingest/register.ts'
import { INGEST_DEFAULTS } from '../../services/ingest/settings.ts'
import { registerQuery } from '../../services/query/register.ts'
import { DEFAULT_QUERY_SETTINGS } from '../../services/query/settings.ts'
import { clientAddressBehind } from '../../services/shared/http/client-address.ts'
import { registerDiscovery } from '../../services/shared/http/discovery.ts'
import { buildServer } from '../../services/shared/http/server.ts'
import { createLogger } from '../../services/shared/telemetry/logger.ts'
import { createMetrics } from '../../services/shared/telemetry/metrics.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { DEPLOYMENT } from './api.ts'
import { openTestRegistry } from './open-registry.ts'
import { testStreams } from './streams.ts'

export interface WholeServer {
  readonly app: FastifyInstance
  /** `METHOD /path` of every route. */
  readonly routes: readonly string[]
  close(): Promise<void>
}

/** Every service on one server, to look at its routes; without a warehouse, so that none can be asked anything. */
export async function wholeServer(): Promise<WholeServer> {
  const { registry, log } = await openTestRegistry()
  const metrics = createMetrics()
  const logger = createLogger({ level: 'silent', service: 'all' })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: 10_000_000,
    isReady: async () => ({ ready: true, problems: [] }),
  })
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(...[method].flat().map((name) => `${name} ${url}`))
  })
  registerDiscovery(app)
  const common = { authenticator: registry, metrics, logger, now: Date.now }
  registerIngest(app, {
    ...common,
    log,
    eventPartitions: 1,
    settings: INGEST_DEFAULTS,
    sources: await openEnrichmentSources(undefined),
    clientAddress: clientAddressBehind([]),
  })
  registerAdmin(app, { registry, metrics, logger, settings: ADMIN_SETTINGS, streams: testStreams() })
  const datasets = { organizationId: DEPLOYMENT.organizationId }
  const { definitions } = registry
  const saved = { definitions, log: { consume: async () => {} }, projectGrant: () => undefined }
  registerQuery(app, {
    ...common,
    definitions,
    warehouse: {} as Warehouse,
    settings: DEFAULT_QUERY_SETTINGS,
    saved,
    datasets,
    tail: { log },
  })
  return {
    app,
    routes,
    async close() {
      await app.close()
      await registry.close()
    },
  }
}
