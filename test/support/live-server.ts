import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ADMIN_SETTINGS, registerAdmin } from '../../services/admin/app.ts'
import { openEnrichmentSources } from '../../services/ingest/enrichment-sources.ts'
import { registerIngest } from '../../services/ingest/register.ts'
import { INGEST_DEFAULTS, type IngestSettings } from '../../services/ingest/settings.ts'
import { registerQuery } from '../../services/query/register.ts'
import { DEFAULT_QUERY_SETTINGS, type QuerySettings } from '../../services/query/settings.ts'
import { clientAddressBehind } from '../../services/shared/http/client-address.ts'
import { buildServer } from '../../services/shared/http/server.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../services/shared/log/port.ts'
import { topicSpecs } from '../../services/shared/log/topics.ts'
import { openRegistry, type Registry } from '../../services/shared/registry/registry.ts'
import { createLogger } from '../../services/shared/telemetry/logger.ts'
import { createMetrics, type Registry as Metrics } from '../../services/shared/telemetry/metrics.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { type Answer, call, createProject, DEPLOYMENT, type ProjectKeys } from './api.ts'
import { testStreams } from './streams.ts'

export interface LiveServer extends AsyncDisposable {
  readonly url: string
  readonly log: EventLog
  readonly registry: Registry
  readonly metrics: Metrics
  /** Every line that was logged. */
  readonly lines: readonly string[]
  readonly project: ProjectKeys
  /** A call under a path of the project. */
  call(method: string, path: string, key: string, body?: unknown): Promise<Answer>
  /** Records one event; throws unless it was taken. */
  record(collection: string, event: object, key?: string): Promise<void>
  accessKey(fields: object): Promise<string>
  /** The value of a metric's one series with these labels; 0 when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
}

export interface LiveServerOptions {
  readonly query?: Partial<QuerySettings>
  readonly ingest?: Partial<IngestSettings>
  readonly warehouse?: Warehouse
  /** Around the log that the services get. */
  readonly wrapLog?: (log: EventLog) => EventLog
}

/** Ingest, admin and query on one listening server, over an embedded log of its own, with a project. No loader runs. */
export async function openLiveServer(options: LiveServerOptions = {}): Promise<LiveServer> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-live-'))
  const opened = await openLmdbLog({ folder })
  await opened.ensureTopics(topicSpecs({ eventPartitions: 2, retentionMs: 86_400_000, retentionBytes: 1 << 30 }))
  const log = options.wrapLog?.(opened) ?? opened
  const metrics = createMetrics()
  const lines: string[] = []
  const logger = createLogger({ level: 'debug', service: 'all' }, { write: (line) => void lines.push(line) })
  const registry = await openRegistry({
    log,
    secret: DEPLOYMENT.secret,
    organization: { id: DEPLOYMENT.organizationId, key: DEPLOYMENT.organizationKey },
    metrics,
    logger,
    now: Date.now,
  })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: 10_000_000,
    isReady: async () => ({ ready: true, problems: [] }),
  })
  const common = { authenticator: registry, metrics, logger, now: Date.now }
  registerIngest(app, {
    ...common,
    log,
    eventPartitions: 2,
    settings: { ...INGEST_DEFAULTS, ...options.ingest },
    sources: await openEnrichmentSources(undefined),
    clientAddress: clientAddressBehind([]),
  })
  registerAdmin(app, { registry, metrics, logger, settings: ADMIN_SETTINGS, streams: testStreams() })
  registerQuery(app, {
    ...common,
    definitions: registry.definitions,
    warehouse: options.warehouse ?? ({} as Warehouse),
    settings: { ...DEFAULT_QUERY_SETTINGS, ...options.query },
    tail: { log },
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const project = await createProject(url, DEPLOYMENT, 'live')
  const callProject: LiveServer['call'] = async (method, path, key, body) =>
    call(method, `${url}/3.0/projects/${project.id}${path}`, { key, ...(body === undefined ? {} : { body }) })
  return {
    url,
    log,
    registry,
    metrics,
    lines,
    project,
    call: callProject,
    async record(collection, event, key = project.write) {
      const { status, body } = await callProject('POST', `/events/${collection}`, key, event)
      if (status !== 201) throw new Error(`not recorded: ${status} ${JSON.stringify(body)}`)
    },
    async accessKey(fields) {
      const { status, body } = await callProject('POST', '/keys', project.master, fields)
      if (status !== 201) throw new Error(`no key: ${status} ${JSON.stringify(body)}`)
      return (body as { readonly key: string }).key
    },
    async metric(name, labels = {}) {
      const found = await metrics.getSingleMetric(name)?.get()
      const wanted = Object.entries(labels)
      return (
        found?.values.find(({ labels: has }) => wanted.every(([label, value]) => Reflect.get(has, label) === value))
          ?.value ?? 0
      )
    },
    async [Symbol.asyncDispose]() {
      await app.close()
      await registry.close()
      await opened.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
