import { isAbsolute, join, resolve } from 'node:path'
import { AppError } from './errors.ts'
import { type ArchiveConfig, archiveOf } from './config/archive.ts'
import { parseEnvironment } from './config/parse-environment.ts'
import type { Environment } from './config/settings.ts'
import { clientAddressBehind } from './http/client-address.ts'
import type { KeyKind } from './registry/model.ts'
import type { KeyLimits } from './limits/domain/key-limits.ts'
import { parseListedHosts } from './streams/endpoints.ts'
import type { StreamSettings } from './streams/settings.ts'
import type { ReadLimits } from './warehouse/port.ts'

const HOUR_MS = 3_600_000
/** A caller that takes nothing of an answer for so long is cut off. */
const STALL_MS = 30_000
/** Of each second, what live tails together may take of the process. */
const TAIL_WORK_MS_PER_S = 200
const DEFAULT_DATABASE = 'tributary'

export interface KafkaSettings {
  readonly kind: 'kafka'
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl: { readonly caFile: string | undefined } | undefined
  readonly sasl:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
        readonly username: string
        readonly password: string
      }
    | undefined
  readonly replicationFactor: number | undefined
  readonly minInsyncReplicas: number | undefined
  readonly topicPrefix: string
  readonly sessionTimeoutMs: number | undefined
}
export interface LmdbSettings {
  readonly kind: 'lmdb'
  readonly folder: string
  readonly sessionTimeoutMs: number | undefined
}

export interface HttpWarehouseSettings {
  readonly kind: 'http'
  /** Without user, password and database. */
  readonly url: string
  readonly username: string
  readonly password: string
  readonly database: string
  readonly timeoutMs: number
}
export interface ChdbSettings {
  readonly kind: 'chdb'
  readonly folder: string
}

export interface Config {
  readonly server: { readonly host: string; readonly port: number }
  /** Absolute. */
  readonly dataDir: string
  readonly logLevel: Environment['TRIBUTARY_LOG_LEVEL']
  readonly drainMs: number
  readonly organization: {
    readonly id: string | undefined
    readonly key: string | undefined
    readonly secret: string | undefined
  }
  readonly log: KafkaSettings | LmdbSettings
  readonly topics: { readonly eventPartitions: number; readonly retentionMs: number; readonly retentionBytes: number }
  readonly warehouse: HttpWarehouseSettings | ChdbSettings
  readonly ingest: {
    readonly bodyBytesMax: number
    readonly eventBytesMax: number
    readonly eventsPerRequestMax: number
    readonly queueBytesMax: number
    readonly keyLimits: LimitsByKind
    readonly redirectHosts: readonly string[]
    readonly trustedProxies: readonly string[]
    /** Absolute. */
    readonly geoDatabase: string | undefined
  }
  readonly loader: {
    readonly batchRowsMax: number
    readonly batchBytesMax: number
    readonly batchAgeMs: number
    readonly batchesMax: number
  }
  readonly archive: ArchiveConfig
  readonly exporter: {
    readonly format: Environment['TRIBUTARY_ARCHIVE_FORMAT']
    readonly rangeBytesMax: number
    readonly rangeAgeMs: number
    readonly memoryBytesMax: number
    readonly spoolBytesMax: number
    readonly uploadsMax: number
  }
  readonly query: {
    readonly limits: Readonly<Record<KeyKind, ReadLimits>>
    readonly runningMax: number
    readonly perProjectMax: number
    readonly waitMs: number
    readonly cacheBytesMax: number
    readonly catalogue: { readonly propertiesMax: number; readonly ageMs: number }
    readonly deletedWithFiltersMax: number
    readonly deletedMax: number
    readonly deletionsMax: number
    readonly extraction: ExtractionConfig
    readonly saved: SavedConfig
    readonly datasets: DatasetConfig
    readonly keyLimits: LimitsByKind
    readonly tail: TailConfig
  }
  readonly streams: StreamSettings
  readonly compaction: {
    readonly enabled: boolean
    readonly targetBytes: number
    readonly closedAfterMs: number
    readonly graceMs: number
  }
  readonly deliveries: { readonly makingMax: number; readonly sendingMax: number; readonly memoryBytesMax: number }
}

/** See `services/query/settings.ts`. */
/** See `shared/limits/domain/key-limits.ts`. */
type LimitsByKind = Readonly<Record<KeyKind, KeyLimits>>

interface DatasetConfig {
  readonly refreshS: number
  readonly refreshesMax: number
  readonly valuesMax: number
}

interface SavedConfig {
  readonly queriesMax: number
  readonly refreshMinS: number
  readonly refreshMaxS: number
  readonly resultBytesMax: number
  readonly refreshesMax: number
}

/** See `services/query/tail/settings.ts`. */
interface TailConfig {
  readonly tailsMax: number
  readonly perProjectMax: number
  readonly perKeyMax: number
  readonly eventsPerSecondMax: number
  readonly queueBytesMax: number
  readonly workMsPerSecond: number
}

/** See `services/query/settings.ts`. */
interface ExtractionConfig {
  readonly scannedMax: number
  readonly eventsMax: number
  readonly stallMs: number
  readonly jobEventsMax: number
  readonly jobBytesMax: number
  readonly jobSeconds: number
  readonly jobsRunningMax: number
  readonly filesBytesMax: number
  readonly keptMs: number
}

/** 0 is none. */
const queryLimits = (perMinute: number, atOnce: number): KeyLimits => ({
  ...(perMinute > 0 && { queries_per_minute: perMinute }),
  ...(atOnce > 0 && { concurrent_queries: atOnce }),
})
const writeLimits = (events: number, bytes: number): KeyLimits => ({
  ...(events > 0 && { events_per_second: events }),
  ...(bytes > 0 && { bytes_per_second: bytes }),
})

/**
 * The settings of a process, from its environment. Throws one CONFIG_INVALID that names every fault, never a value.
 * `cwd` is what a relative TRIBUTARY_DATA_DIR is relative to.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, cwd: string): Config {
  const parsed = parseEnvironment(env)
  if (!parsed.ok) throw invalid(parsed.problems)
  const e = parsed.value
  const problems: string[] = []
  const dataDir = isAbsolute(e.TRIBUTARY_DATA_DIR) ? e.TRIBUTARY_DATA_DIR : resolve(cwd, e.TRIBUTARY_DATA_DIR)
  const config: Config = {
    server: { host: e.TRIBUTARY_HOST, port: e.TRIBUTARY_PORT },
    dataDir,
    logLevel: e.TRIBUTARY_LOG_LEVEL,
    drainMs: e.TRIBUTARY_DRAIN_S * 1_000,
    organization: organization(e, problems),
    log: log(e, dataDir, problems),
    topics: {
      eventPartitions: e.TRIBUTARY_EVENT_PARTITIONS ?? (e.KAFKA_BROKERS === undefined ? 4 : 12),
      retentionMs: e.TRIBUTARY_LOG_RETENTION_HOURS * HOUR_MS,
      retentionBytes: e.TRIBUTARY_LOG_RETENTION_BYTES,
    },
    warehouse: warehouse(e, dataDir, problems),
    ingest: {
      bodyBytesMax: e.TRIBUTARY_INGEST_BODY_BYTES,
      eventBytesMax: e.TRIBUTARY_INGEST_EVENT_BYTES,
      eventsPerRequestMax: e.TRIBUTARY_INGEST_EVENTS,
      queueBytesMax: e.TRIBUTARY_INGEST_QUEUE_BYTES,
      keyLimits: {
        master: writeLimits(e.TRIBUTARY_INGEST_MASTER_EVENTS_PER_S, e.TRIBUTARY_INGEST_MASTER_BYTES_PER_S),
        read: {},
        write: writeLimits(e.TRIBUTARY_INGEST_WRITE_EVENTS_PER_S, e.TRIBUTARY_INGEST_WRITE_BYTES_PER_S),
        access: writeLimits(e.TRIBUTARY_INGEST_ACCESS_EVENTS_PER_S, e.TRIBUTARY_INGEST_ACCESS_BYTES_PER_S),
      },
      redirectHosts: listed(e.TRIBUTARY_REDIRECT_HOSTS),
      trustedProxies: trustedProxies(e, problems),
      geoDatabase: e.TRIBUTARY_GEO_DATABASE === undefined ? undefined : resolve(cwd, e.TRIBUTARY_GEO_DATABASE),
    },
    loader: {
      batchRowsMax: e.TRIBUTARY_LOADER_BATCH_ROWS,
      batchBytesMax: e.TRIBUTARY_LOADER_BATCH_BYTES,
      batchAgeMs: e.TRIBUTARY_LOADER_BATCH_AGE_MS,
      batchesMax: e.TRIBUTARY_LOADER_BATCHES,
    },
    archive: archiveOf(e, { dataDir, cwd }, problems),
    exporter: {
      format: e.TRIBUTARY_ARCHIVE_FORMAT,
      rangeBytesMax: e.TRIBUTARY_ARCHIVE_RANGE_BYTES,
      rangeAgeMs: e.TRIBUTARY_ARCHIVE_RANGE_AGE_S * 1_000,
      memoryBytesMax: e.TRIBUTARY_ARCHIVE_MEMORY_BYTES,
      spoolBytesMax: e.TRIBUTARY_ARCHIVE_SPOOL_BYTES,
      uploadsMax: e.TRIBUTARY_ARCHIVE_UPLOADS,
    },
    query: {
      limits: {
        master: limitsOf(e, 'MASTER'),
        read: limitsOf(e, 'READ'),
        write: limitsOf(e, 'READ'), // may not ask at all; the type wants one for each kind
        access: limitsOf(e, 'ACCESS'),
      },
      runningMax: e.TRIBUTARY_QUERY_RUNNING,
      perProjectMax: e.TRIBUTARY_QUERY_PER_PROJECT,
      waitMs: e.TRIBUTARY_QUERY_WAIT_MS,
      cacheBytesMax: e.TRIBUTARY_QUERY_CACHE_BYTES,
      catalogue: { propertiesMax: e.TRIBUTARY_SCHEMA_PROPERTIES, ageMs: 1_000 },
      deletedWithFiltersMax: e.TRIBUTARY_DELETE_FILTERED_EVENTS,
      deletedMax: e.TRIBUTARY_DELETE_EVENTS,
      deletionsMax: e.TRIBUTARY_DELETIONS,
      extraction: extractionOf(e),
      saved: {
        queriesMax: e.TRIBUTARY_SAVED_QUERIES,
        refreshMinS: e.TRIBUTARY_CACHED_REFRESH_MIN_S,
        refreshMaxS: e.TRIBUTARY_CACHED_REFRESH_MAX_S,
        resultBytesMax: e.TRIBUTARY_CACHED_RESULT_BYTES,
        refreshesMax: e.TRIBUTARY_CACHED_REFRESHES,
      },
      keyLimits: {
        master: queryLimits(e.TRIBUTARY_QUERY_MASTER_PER_MINUTE, e.TRIBUTARY_QUERY_MASTER_AT_ONCE),
        read: queryLimits(e.TRIBUTARY_QUERY_READ_PER_MINUTE, e.TRIBUTARY_QUERY_READ_AT_ONCE),
        write: {},
        access: queryLimits(e.TRIBUTARY_QUERY_ACCESS_PER_MINUTE, e.TRIBUTARY_QUERY_ACCESS_AT_ONCE),
      },
      datasets: {
        refreshS: e.TRIBUTARY_DATASET_REFRESH_S,
        refreshesMax: e.TRIBUTARY_DATASET_REFRESHES,
        valuesMax: e.TRIBUTARY_DATASET_VALUES,
      },
      tail: {
        tailsMax: e.TRIBUTARY_TAILS,
        perProjectMax: e.TRIBUTARY_TAILS_PER_PROJECT,
        perKeyMax: e.TRIBUTARY_TAILS_PER_KEY,
        eventsPerSecondMax: e.TRIBUTARY_TAIL_EVENTS_PER_S,
        queueBytesMax: e.TRIBUTARY_TAIL_QUEUE_BYTES,
        workMsPerSecond: TAIL_WORK_MS_PER_S,
      },
    },
    streams: streams(e, cwd, problems),
    compaction: {
      enabled: e.TRIBUTARY_COMPACTION,
      targetBytes: e.TRIBUTARY_COMPACTION_TARGET_MIB * 1024 * 1024,
      closedAfterMs: e.TRIBUTARY_COMPACTION_AFTER_S * 1_000,
      graceMs: e.TRIBUTARY_COMPACTION_GRACE_S * 1_000,
    },
    deliveries: {
      makingMax: e.TRIBUTARY_DELIVERIES_MADE,
      sendingMax: e.TRIBUTARY_DELIVERIES_SENT,
      memoryBytesMax: e.TRIBUTARY_DELIVERIES_MEMORY_BYTES,
    },
  }
  if (e.TRIBUTARY_CACHED_REFRESH_MAX_S < e.TRIBUTARY_CACHED_REFRESH_MIN_S) {
    problems.push('TRIBUTARY_CACHED_REFRESH_MAX_S must be at least TRIBUTARY_CACHED_REFRESH_MIN_S')
  }
  if (e.TRIBUTARY_INGEST_QUEUE_BYTES < e.TRIBUTARY_INGEST_BODY_BYTES) {
    problems.push('TRIBUTARY_INGEST_QUEUE_BYTES must be at least TRIBUTARY_INGEST_BODY_BYTES')
  }
  if (e.TRIBUTARY_EXTRACTION_FILES_BYTES < e.TRIBUTARY_EXTRACTION_JOB_BYTES) {
    problems.push('TRIBUTARY_EXTRACTION_FILES_BYTES must be at least TRIBUTARY_EXTRACTION_JOB_BYTES')
  }
  if (problems.length > 0) throw invalid(problems)
  return config
}

function invalid(problems: readonly string[]): AppError {
  const what = problems.length === 1 ? 'One setting is wrong' : `${problems.length} settings are wrong`
  return new AppError(
    'CONFIG_INVALID',
    `${what}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\n` +
      'Settings are environment variables; `tributary --help` lists them all.',
  )
}

function organization(e: Environment, problems: string[]): Config['organization'] {
  const [id, key, secret] = [e.TRIBUTARY_ORGANIZATION_ID, e.TRIBUTARY_ORGANIZATION_KEY, e.TRIBUTARY_SECRET]
  const missing = Object.entries({
    TRIBUTARY_ORGANIZATION_ID: id,
    TRIBUTARY_ORGANIZATION_KEY: key,
    TRIBUTARY_SECRET: secret,
  }).filter(([, value]) => value === undefined)
  if (missing.length === 1 || missing.length === 2) {
    problems.push(
      `${missing.map(([name]) => name).join(' and ')} must be set too: all three of the organization's settings, or none of them`,
    )
  }
  return { id, key, secret }
}

function log(e: Environment, dataDir: string, problems: string[]): Config['log'] {
  const sessionTimeoutMs = e.TRIBUTARY_LOG_SESSION_MS
  if (e.KAFKA_BROKERS === undefined) return { kind: 'lmdb', folder: join(dataDir, 'log'), sessionTimeoutMs }
  const brokers = e.KAFKA_BROKERS.split(',').map((broker) => broker.trim())
  if (!brokers.every((broker) => /^(?:\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}$/.test(broker))) {
    problems.push('KAFKA_BROKERS must be a comma-separated list of host:port')
  }
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = e
  let sasl: KafkaSettings['sasl']
  if (mechanism !== undefined && username !== undefined && password !== undefined) {
    sasl = { mechanism, username, password }
  } else if (mechanism !== undefined || username !== undefined || password !== undefined) {
    problems.push('KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD must be set together')
  }
  if (e.KAFKA_SSL_CA_FILE !== undefined && !e.KAFKA_SSL) {
    problems.push('KAFKA_SSL must be true when KAFKA_SSL_CA_FILE is set')
  }
  return {
    kind: 'kafka',
    brokers,
    clientId: e.KAFKA_CLIENT_ID,
    ssl: e.KAFKA_SSL ? { caFile: e.KAFKA_SSL_CA_FILE } : undefined,
    sasl,
    replicationFactor: e.KAFKA_REPLICATION_FACTOR,
    minInsyncReplicas: e.KAFKA_MIN_INSYNC_REPLICAS,
    topicPrefix: e.KAFKA_TOPIC_PREFIX ?? '',
    sessionTimeoutMs,
  }
}

function warehouse(e: Environment, dataDir: string, problems: string[]): Config['warehouse'] {
  if (e.CLICKHOUSE_URL === undefined) return { kind: 'chdb', folder: join(dataDir, 'warehouse') }
  const url = URL.canParse(e.CLICKHOUSE_URL) ? new URL(e.CLICKHOUSE_URL) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    problems.push('CLICKHOUSE_URL must be an http or https URL')
    return { kind: 'chdb', folder: '' }
  }
  const decoded = (part: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      problems.push('CLICKHOUSE_URL must have its special characters percent-encoded')
      return ''
    }
  }
  const inUrl = {
    username: decoded(url.username),
    password: decoded(url.password),
    database: decoded(url.pathname.slice(1)) || (url.searchParams.get('database') ?? ''),
  }
  const pick = (fromUrl: string, name: keyof Environment, fallback: string): string => {
    const own = e[name]
    if (typeof own !== 'string') return fromUrl || fallback
    if (fromUrl !== '' && fromUrl !== own) problems.push(`${name} must not differ from what CLICKHOUSE_URL carries`)
    return own
  }
  const database = pick(inUrl.database, 'CLICKHOUSE_DATABASE', DEFAULT_DATABASE)
  if (!/^[A-Za-z_]\w{0,63}$/.test(database)) {
    problems.push('CLICKHOUSE_DATABASE (or the database in CLICKHOUSE_URL) must be letters, digits and underscores')
  }
  return {
    kind: 'http',
    url: url.origin,
    username: pick(inUrl.username, 'CLICKHOUSE_USER', 'default'),
    password: pick(inUrl.password, 'CLICKHOUSE_PASSWORD', ''),
    database,
    timeoutMs: e.CLICKHOUSE_TIMEOUT_S * 1_000,
  }
}

const listed = (text: string | undefined): readonly string[] =>
  (text ?? '')
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .filter((item) => item !== '')

function trustedProxies(e: Environment, problems: string[]): readonly string[] {
  const proxies = listed(e.TRIBUTARY_TRUSTED_PROXIES)
  try {
    clientAddressBehind(proxies)
  } catch {
    problems.push('TRIBUTARY_TRUSTED_PROXIES must be addresses, networks, loopback, linklocal or private')
  }
  return proxies
}

function streams(e: Environment, cwd: string, problems: string[]): StreamSettings {
  const endpoints = parseListedHosts(e.TRIBUTARY_STREAM_ENDPOINTS ?? '')
  if (endpoints === undefined) {
    problems.push('TRIBUTARY_STREAM_ENDPOINTS must be a comma-separated list of host or host:port, without http://')
  }
  return {
    endpoints: endpoints ?? [],
    folder: e.TRIBUTARY_STREAM_FOLDER === undefined ? undefined : resolve(cwd, e.TRIBUTARY_STREAM_FOLDER),
    perProjectMax: e.TRIBUTARY_STREAMS,
  }
}

const limitsOf = (e: Environment, kind: 'MASTER' | 'READ' | 'ACCESS'): ReadLimits => ({
  executionS: e[`TRIBUTARY_QUERY_${kind}_SECONDS`],
  rowsToRead: e[`TRIBUTARY_QUERY_${kind}_ROWS`],
  memoryBytes: e[`TRIBUTARY_QUERY_${kind}_MEMORY_BYTES`],
  resultRows: e.TRIBUTARY_QUERY_RESULT_ROWS,
  resultBytes: e.TRIBUTARY_QUERY_RESULT_BYTES,
})

const extractionOf = (e: Environment): ExtractionConfig => ({
  scannedMax: e.TRIBUTARY_EXTRACTION_SCAN,
  eventsMax: e.TRIBUTARY_EXTRACTION_EVENTS,
  stallMs: STALL_MS,
  jobEventsMax: e.TRIBUTARY_EXTRACTION_JOB_EVENTS,
  jobBytesMax: e.TRIBUTARY_EXTRACTION_JOB_BYTES,
  jobSeconds: e.TRIBUTARY_EXTRACTION_JOB_SECONDS,
  jobsRunningMax: e.TRIBUTARY_EXTRACTION_JOBS,
  filesBytesMax: e.TRIBUTARY_EXTRACTION_FILES_BYTES,
  keptMs: e.TRIBUTARY_EXTRACTION_LINK_DAYS * 24 * HOUR_MS,
})
