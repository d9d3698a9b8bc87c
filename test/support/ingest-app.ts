import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { openEnrichmentSources } from '../../services/ingest/enrichment-sources.ts'
import { registerIngest } from '../../services/ingest/register.ts'
import { INGEST_DEFAULTS, type IngestSettings, REQUEST_BYTES_MAX } from '../../services/ingest/settings.ts'
import { AppError } from '../../services/shared/errors.ts'
import { decodeEvent } from '../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../services/shared/events/event.ts'
import { clientAddressBehind } from '../../services/shared/http/client-address.ts'
import { buildServer } from '../../services/shared/http/server.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog, LogRecord } from '../../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../services/shared/log/topics.ts'
import { type Authenticator, grantOf } from '../../services/shared/registry/grant.ts'
import type { KeyKind, KeyOptions, Permission } from '../../services/shared/registry/model.ts'
import { createLogger } from '../../services/shared/telemetry/logger.ts'
import { createMetrics, type Registry } from '../../services/shared/telemetry/metrics.ts'

export const PROJECT = '5f00000000000000000000aa'
export const KEYS = {
  master: 'A'.repeat(64),
  write: 'B'.repeat(64),
  read: 'C'.repeat(64),
  /** Access keys: `autofill` writes under one, `nothing` may nothing. */
  autofill: 'D'.repeat(64),
  nothing: 'E'.repeat(64),
}

const NO_OPTIONS: KeyOptions = {
  writes: null,
  queries: null,
  saved_queries: null,
  cached_queries: null,
  datasets: null,
}

/** Knows one project and its keys, without a registry. */
export function authenticatorOf(autofill: Readonly<Record<string, unknown>> = {}): Authenticator {
  const key = (kind: KeyKind, secret: string, permitted: Permission[] = [], options: KeyOptions = NO_OPTIONS) =>
    [
      secret,
      grantOf(
        {
          id: secret.slice(0, 4),
          projectId: PROJECT,
          kind,
          secret,
          name: kind,
          isActive: true,
          permitted,
          options,
          createdAtMs: 0,
        },
        () => [],
      ),
    ] as const
  const grants = new Map([
    key('master', KEYS.master),
    key('write', KEYS.write),
    key('read', KEYS.read),
    key('access', KEYS.autofill, ['writes'], { ...NO_OPTIONS, writes: { autofill } }),
    key('access', KEYS.nothing),
  ])
  return {
    authenticate(projectId, presentedKey) {
      if (projectId !== PROJECT) throw new AppError('ResourceNotFoundError', 'Resource not found.')
      const grant = grants.get(presentedKey ?? '')
      if (grant === undefined) throw new AppError('InvalidApiKeyError', 'The key is not valid.')
      return grant
    },
  }
}

export interface StoredEvent extends LoggedEvent {
  readonly partition: number
  /** The properties, parsed. */
  readonly body: Record<string, unknown>
}

export interface IngestUnderTest extends AsyncDisposable {
  readonly app: FastifyInstance
  readonly log: EventLog
  readonly metrics: Registry
  readonly lines: readonly string[]
  /** Everything in the log that no earlier call returned, partition by partition. */
  taken(): Promise<readonly StoredEvent[]>
  close(): Promise<void>
}

export interface IngestOptions {
  readonly settings?: Partial<IngestSettings>
  readonly autofill?: Readonly<Record<string, unknown>>
  readonly now?: () => number
  /** In place of the log's own. */
  readonly append?: EventLog['append']
  readonly bodyBytesMax?: number
  readonly trustedProxies?: readonly string[]
  /** In place of the table of keys. */
  readonly authenticator?: Authenticator
}

export const PARTITIONS = 4

/** Ingest on a log of its own, on LMDB. */
export async function openIngest(options: IngestOptions = {}): Promise<IngestUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-ingest-'))
  const log = await openLmdbLog({ folder })
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 86_400_000, retentionBytes: 1 << 30 }))
  const lines: string[] = []
  const logger = createLogger({ level: 'debug', service: 'ingest' }, { write: (line) => void lines.push(line) })
  const metrics = createMetrics()
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: options.bodyBytesMax ?? REQUEST_BYTES_MAX,
    isReady: async () => ({ ready: true, problems: [] }),
  })
  registerIngest(app, {
    log: options.append === undefined ? log : { append: options.append },
    eventPartitions: PARTITIONS,
    authenticator: options.authenticator ?? authenticatorOf(options.autofill),
    metrics,
    settings: { ...INGEST_DEFAULTS, ...options.settings },
    sources: await openEnrichmentSources(undefined),
    clientAddress: clientAddressBehind(options.trustedProxies ?? []),
    now: options.now ?? Date.now,
    logger,
  })
  const following = new AbortController()
  const records: LogRecord[] = []
  const { caughtUp, done } = log.follow(EVENTS_TOPIC, (record) => void records.push(record), following.signal)
  await caughtUp
  const seen = Array.from({ length: PARTITIONS }, () => 0n)

  const close = async (): Promise<void> => {
    await app.close()
    following.abort()
    await done
    await log.close()
    await rm(folder, { recursive: true, force: true })
  }
  return {
    app,
    log,
    metrics,
    lines,
    async taken() {
      const ends = await log.ends(EVENTS_TOPIC)
      const owed = ends.reduce((sum, { end, partition }) => sum + Number(end - (seen[partition] ?? 0n)), 0)
      while (records.length < owed) await delay(5)
      for (const { partition, end } of ends) seen[partition] = end
      const taken = records.splice(0).toSorted((a, b) => a.partition - b.partition || Number(a.offset - b.offset))
      return taken.map(({ partition, value }) => {
        const event = decodeEvent(value ?? Buffer.alloc(0))
        return { ...event, partition, body: JSON.parse(event.properties.toString()) as Record<string, unknown> }
      })
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
