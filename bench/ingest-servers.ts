import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEnrichmentSources } from '../services/ingest/enrichment-sources.ts'
import { registerIngest } from '../services/ingest/register.ts'
import { INGEST_DEFAULTS, REQUEST_BYTES_MAX } from '../services/ingest/settings.ts'
import { clientAddressBehind } from '../services/shared/http/client-address.ts'
import { buildServer } from '../services/shared/http/server.ts'
import { openKafkaLog } from '../services/shared/log/kafka/open.ts'
import { openLmdbLog } from '../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../services/shared/log/topics.ts'
import { createLogger } from '../services/shared/telemetry/logger.ts'
import { createMetrics } from '../services/shared/telemetry/metrics.ts'
import { authenticatorOf } from '../test/support/ingest-app.ts'

export interface ServerUnderLoad {
  readonly port: number
  /** Events in the log so far; undefined where there is none. */
  stored(): Promise<number | undefined>
  close(): Promise<void>
}

const PARTITIONS = 4

export const openKafka = async (brokers: readonly string[]): Promise<EventLog> =>
  openKafkaLog({ brokers, clientId: 'bench', logger: createLogger({ level: 'warn', service: 'ingest' }) })

/** Ingest as it is deployed, on the log given by `openLog`, or on the embedded one in a folder of its own. */
export async function serveIngest(openLog?: () => Promise<EventLog>): Promise<ServerUnderLoad> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'))
  const log = openLog === undefined ? await openLmdbLog({ folder }) : await openLog()
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 86_400_000, retentionBytes: 64 << 20 }))
  const metrics = createMetrics()
  const logger = createLogger({ level: 'info', service: 'ingest' })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: REQUEST_BYTES_MAX,
    isReady: async () => ({ ready: true, problems: [] }),
  })
  registerIngest(app, {
    sources: await openEnrichmentSources(undefined),
    clientAddress: clientAddressBehind([]),
    log,
    eventPartitions: PARTITIONS,
    authenticator: authenticatorOf(),
    metrics,
    settings: INGEST_DEFAULTS,
    now: Date.now,
    logger,
  })
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  return {
    port: Number(url.port),
    stored: async () => {
      const ends = await log.ends(EVENTS_TOPIC)
      return ends.reduce((sum, { end }) => sum + Number(end), 0)
    },
    close: async () => {
      await app.close()
      await log.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What any ingest on this runtime does at the least: reads a body, parses it, answers as many bytes. */
export async function serveBare(): Promise<ServerUnderLoad> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
      const isBulk = request.url?.endsWith('/events') === true
      const answer = JSON.stringify(isBulk ? resultsOf(body as Record<string, unknown[]>) : { created: true })
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) }
      response.writeHead(isBulk ? 200 : 201, headers).end(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stored: async () => undefined,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const resultsOf = (body: Record<string, unknown[]>): Record<string, unknown[]> =>
  Object.fromEntries(Object.entries(body).map(([name, events]) => [name, events.map(() => ({ success: true }))]))
