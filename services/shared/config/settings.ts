import { type Static, type TSchema, Type } from 'typebox'

/**
 * Every setting, once: its name in the environment, its shape, its default and its one-line story. `--help` and the
 * README's table are printed from here, and a test checks that the README names each one.
 */

const MIB = 1_048_576
const int = (fallback: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: fallback, minimum, maximum, description })
const flag = (fallback: boolean, description: string) => Type.Boolean({ default: fallback, description })
const text = (description: string, more: { default?: string; pattern?: string } = {}) =>
  Type.String({ minLength: 1, description, ...more })
const server = {
  TRIBUTARY_HOST: text('Address to listen on. `0.0.0.0` for every interface.', { default: '127.0.0.1' }),
  TRIBUTARY_PORT: int(8080, 0, 65_535, 'Port to listen on; every long-running process has one. 0 picks a free one.'),
  TRIBUTARY_DATA_DIR: text('Folder of the embedded log and warehouse, and of `organization.json`.', {
    default: 'data',
  }),
  TRIBUTARY_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'Least severe log line that is written.',
  }),
  TRIBUTARY_DRAIN_S: int(
    30,
    1,
    3_600,
    'Seconds that a stop may take to finish what is in hand, before the process exits.',
  ),
}

const organization = {
  TRIBUTARY_ORGANIZATION_ID: Type.Optional(
    text('Id of the organization, 24 lower-case hex characters. Set all three of these or none.', {
      pattern: '^[0-9a-f]{24}$',
    }),
  ),
  TRIBUTARY_ORGANIZATION_KEY: Type.Optional(
    text('Key that creates and manages projects, 32 to 128 letters and digits. A secret.', {
      pattern: '^[A-Za-z0-9]{32,128}$',
    }),
  ),
  TRIBUTARY_SECRET: Type.Optional(
    text('Encrypts the stored keys, at least 32 characters. A secret; the same in every process, for ever.', {
      pattern: '^.{32,1024}$',
    }),
  ),
}

const log = {
  KAFKA_BROKERS: Type.Optional(
    text('Comma-separated `host:port` list of Kafka brokers. Unset: the embedded log in the data folder.'),
  ),
  KAFKA_CLIENT_ID: text('Name by which the brokers know this deployment.', { default: 'tributary' }),
  KAFKA_SSL: flag(false, 'Speak TLS to the brokers.'),
  KAFKA_SSL_CA_FILE: Type.Optional(text('PEM file of the authority that signed the brokers’ certificates.')),
  KAFKA_SASL_MECHANISM: Type.Optional(
    Type.Enum(['plain', 'scram-sha-256', 'scram-sha-512'], { description: 'How to sign in to the brokers.' }),
  ),
  KAFKA_SASL_USERNAME: Type.Optional(text('User to sign in as.')),
  KAFKA_SASL_PASSWORD: Type.Optional(text('Its password. A secret.')),
  KAFKA_REPLICATION_FACTOR: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 32, description: 'Copies of each new topic. Unset: the brokers’ default.' }),
  ),
  KAFKA_MIN_INSYNC_REPLICAS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 32,
      description:
        'Copies of a new topic that must have an event before it counts as kept. Unset: the brokers’ default.',
    }),
  ),
  KAFKA_TOPIC_PREFIX: Type.Optional(
    text('Put in front of the names of topics and consumer groups, for several deployments on one Kafka.', {
      pattern: '^[A-Za-z0-9._-]{1,64}$',
    }),
  ),
  TRIBUTARY_EVENT_PARTITIONS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_024,
      description: 'Partitions of the events topic when it is made: 4 in the embedded log, 12 in Kafka, unless set.',
    }),
  ),
  TRIBUTARY_LOG_SESSION_MS: Type.Optional(
    Type.Integer({
      minimum: 1_000,
      maximum: 3_600_000,
      description:
        'Silence after which a loader counts as dead and others take its partitions: 10000 in the embedded log, 45000 in Kafka, unless set.',
    }),
  ),
  TRIBUTARY_LOG_RETENTION_HOURS: int(168, 1, 87_600, 'How long the log keeps events; the warehouse keeps them anyway.'),
  TRIBUTARY_LOG_RETENTION_BYTES: int(
    10_737_418_240,
    16 * MIB,
    Number.MAX_SAFE_INTEGER,
    'How many bytes of events each partition keeps; the oldest go first.',
  ),
}

const warehouse = {
  CLICKHOUSE_URL: Type.Optional(
    text(
      'URL of ClickHouse’s HTTP port; may carry user, password and database (`https://user:pw@host:8443/db`). Unset: the embedded engine.',
    ),
  ),
  CLICKHOUSE_USER: Type.Optional(text('User, when the URL does not carry it.')),
  CLICKHOUSE_PASSWORD: Type.Optional(text('Password, when the URL does not carry it. A secret.')),
  CLICKHOUSE_DATABASE: Type.Optional(text('Database, when the URL does not carry it. Otherwise `tributary`.')),
  CLICKHOUSE_TIMEOUT_S: int(60, 1, 3_600, 'Seconds to wait for an answer from ClickHouse.'),
}

const recorded = <const K extends 'MASTER' | 'WRITE' | 'ACCESS'>(kind: K, name: string) =>
  ({
    [`TRIBUTARY_INGEST_${kind}_EVENTS_PER_S`]: int(
      0,
      0,
      1e9,
      `Most events a second under ${name}, in a process; 0: any number.`,
    ),
    [`TRIBUTARY_INGEST_${kind}_BYTES_PER_S`]: int(0, 0, 1e12, 'Most bytes of bodies a second; 0: any number.'),
  }) as { [Name in `TRIBUTARY_INGEST_${K}_${'EVENTS_PER_S' | 'BYTES_PER_S'}`]: ReturnType<typeof int> }

const ingest = {
  TRIBUTARY_INGEST_BODY_BYTES: int(10_000_000, 1_024, 256 * MIB, 'Largest request body, after decompression.'),
  TRIBUTARY_INGEST_EVENT_BYTES: int(900_000, 256, 16 * MIB, 'Largest event; Kafka takes 1 MiB unless told otherwise.'),
  TRIBUTARY_INGEST_EVENTS: int(20_000, 1, 1_000_000, 'Most events in one request.'),
  TRIBUTARY_INGEST_QUEUE_BYTES: int(
    64 * MIB,
    MIB,
    4_096 * MIB,
    'Bytes that may wait for the log; beyond it, 503 with Retry-After.',
  ),
  TRIBUTARY_TRUSTED_PROXIES: Type.Optional(
    text(
      'Comma-separated proxies whose `X-Forwarded-For` is believed: addresses, networks (`10.0.0.0/8`), `loopback`, `linklocal`, `private`. Unset: none.',
    ),
  ),
  TRIBUTARY_GEO_DATABASE: Type.Optional(
    text(
      'MMDB file in which `keen:ip_to_geo` looks addresses up (GeoLite2 City, DB-IP City). Unset: the country database that comes along.',
    ),
  ),
  ...recorded('MASTER', 'a master key'),
  ...recorded('WRITE', 'a write key'),
  ...recorded('ACCESS', 'an access key'),
  TRIBUTARY_REDIRECT_HOSTS: Type.Optional(
    text(
      'Comma-separated hosts to which a recording link (`redirect=`) may lead; `*.example.com` for all under it. Unset: none.',
    ),
  ),
}

const loader = {
  TRIBUTARY_LOADER_BATCH_ROWS: int(25_000, 1, 1_000_000, 'Rows after which a batch is inserted.'),
  TRIBUTARY_LOADER_BATCH_BYTES: int(16 * MIB, 1_024, 256 * MIB, 'Bytes after which a batch is inserted.'),
  TRIBUTARY_LOADER_BATCH_AGE_MS: int(500, 10, 60_000, 'Age of its oldest event at which a batch is inserted anyway.'),
  TRIBUTARY_LOADER_BATCHES: int(2, 2, 256, 'Batches in memory at a time, over all partitions.'),
}

const exporter = {
  TRIBUTARY_ARCHIVE: Type.Optional(
    text(
      'Where every raw event goes: a folder, `s3://bucket/prefix`, `gs://bucket/prefix` or `none`. Unset: `archive` in the data folder with the embedded log, none with Kafka.',
    ),
  ),
  TRIBUTARY_ARCHIVE_FORMAT: Type.Enum(['jsonl.gz', 'jsonl.zst', 'avro'], {
    default: 'jsonl.gz',
    description: 'Form of its objects: `jsonl.gz`, `jsonl.zst` or `avro`. What was written before stays as it is.',
  }),
  TRIBUTARY_ARCHIVE_RANGE_BYTES: int(
    128 * MIB,
    64 * 1_024,
    4_096 * MIB,
    'Bytes of events of one partition, uncompressed, after which they are written.',
  ),
  TRIBUTARY_ARCHIVE_RANGE_AGE_S: int(300, 1, 86_400, 'Age of the oldest of them at which they are written anyway.'),
  TRIBUTARY_ARCHIVE_MEMORY_BYTES: int(
    96 * MIB,
    MIB,
    65_536 * MIB,
    'Memory for events that wait to be written, in a process; beyond it they wait in files.',
  ),
  TRIBUTARY_ARCHIVE_SPOOL_BYTES: int(
    8_192 * MIB,
    MIB,
    1e15,
    'Bytes of these files, in the data folder; beyond it events are written early.',
  ),
  TRIBUTARY_ARCHIVE_UPLOADS: int(4, 1, 64, 'Objects that a process writes at once.'),
  TRIBUTARY_COMPACTION: flag(true, 'Merge the small objects of hours that are over into larger files.'),
  TRIBUTARY_COMPACTION_TARGET_MIB: int(128, 1, 4_096, 'Size of such a file, in MiB; objects that are as large stay.'),
  TRIBUTARY_COMPACTION_AFTER_S: int(900, 0, 86_400, 'How long after its end an hour’s objects are merged.'),
  TRIBUTARY_COMPACTION_GRACE_S: int(
    600,
    0,
    86_400,
    'How long objects stay after they were merged, for who is reading them; deletions wait for it.',
  ),
  TRIBUTARY_ARCHIVE_ENDPOINT: Type.Optional(text('URL of a service that speaks S3, or of a Cloud Storage emulator.')),
  TRIBUTARY_ARCHIVE_S3_REGION: text('Region of the bucket.', { default: 'us-east-1' }),
  TRIBUTARY_ARCHIVE_S3_PATH_STYLE: flag(false, 'Put the bucket’s name into the path rather than into the host.'),
  TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: Type.Optional(
    text('Who signs the requests. Unset, with no profile and no role: whoever the process is.'),
  ),
  TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: Type.Optional(text('Its secret. A secret.')),
  TRIBUTARY_ARCHIVE_S3_PROFILE: Type.Optional(text('Or a profile of the shared AWS configuration files.')),
  TRIBUTARY_ARCHIVE_S3_ROLE_ARN: Type.Optional(text('Or a role that the process may assume.')),
  TRIBUTARY_ARCHIVE_S3_ENCRYPTION: Type.Optional(
    Type.Enum(['AES256', 'aws:kms'], { description: 'Encryption by S3 itself.' }),
  ),
  TRIBUTARY_ARCHIVE_KMS_KEY: Type.Optional(
    text('Key to encrypt with: of AWS KMS with `aws:kms`, of Cloud KMS with a bucket of Google’s.'),
  ),
}

interface KindDefaults {
  readonly seconds: number
  readonly rows: number
  readonly memoryBytes: number
}

const perKind = <const K extends 'MASTER' | 'READ' | 'ACCESS'>(kind: K, name: string, defaults: KindDefaults) =>
  ({
    [`TRIBUTARY_QUERY_${kind}_SECONDS`]: int(defaults.seconds, 1, 3_600, `Longest query under ${name}.`),
    [`TRIBUTARY_QUERY_${kind}_ROWS`]: int(defaults.rows, 1, 1e15, `Most events that a query under ${name} may read.`),
    [`TRIBUTARY_QUERY_${kind}_MEMORY_BYTES`]: int(defaults.memoryBytes, 16 * MIB, 1e15, `Its most memory.`),
  }) as {
    [Name in `TRIBUTARY_QUERY_${K}_${'SECONDS' | 'ROWS' | 'MEMORY_BYTES'}`]: ReturnType<typeof int>
  }

const asked = <const K extends 'MASTER' | 'READ' | 'ACCESS'>(
  kind: K,
  name: string,
  defaults: { readonly perMinute: number; readonly atOnce: number },
) =>
  ({
    [`TRIBUTARY_QUERY_${kind}_PER_MINUTE`]: int(
      defaults.perMinute,
      0,
      1e9,
      `Most queries a minute under ${name}, in a process; 0: any number.`,
    ),
    [`TRIBUTARY_QUERY_${kind}_AT_ONCE`]: int(defaults.atOnce, 0, 10_000, 'Most at once; 0: any number.'),
  }) as { [Name in `TRIBUTARY_QUERY_${K}_${'PER_MINUTE' | 'AT_ONCE'}`]: ReturnType<typeof int> }

const OWN_KEY: KindDefaults = { seconds: 300, rows: 1_000_000_000, memoryBytes: 4_096 * MIB }

const query = {
  ...perKind('MASTER', 'a master key', OWN_KEY),
  ...perKind('READ', 'a read key', OWN_KEY),
  // These are given to customers, and get less of the machine.
  ...perKind('ACCESS', 'an access key', { seconds: 60, rows: 100_000_000, memoryBytes: 1_024 * MIB }),
  ...asked('MASTER', 'a master key', { perMinute: 6_000, atOnce: 24 }),
  ...asked('READ', 'a read key', { perMinute: 6_000, atOnce: 24 }),
  ...asked('ACCESS', 'an access key', { perMinute: 1_200, atOnce: 12 }),
  TRIBUTARY_QUERY_RESULT_ROWS: int(1_000_000, 1, 10_000_000, 'Most rows (events, groups, buckets) in one answer.'),
  TRIBUTARY_QUERY_RESULT_BYTES: int(150_000_000, 1_024, 4_096 * MIB, 'Most bytes in one answer.'),
  TRIBUTARY_QUERY_RUNNING: int(24, 1, 1_024, 'Queries that run at once in a process; others wait their turn.'),
  TRIBUTARY_QUERY_PER_PROJECT: int(24, 1, 1_024, 'Queries of one project, running and waiting; beyond it, 429.'),
  TRIBUTARY_SCHEMA_PROPERTIES: int(1_000, 1, 10_000, 'Most properties that are listed of a collection.'),
  TRIBUTARY_DELETE_FILTERED_EVENTS: int(
    0,
    0,
    1e15,
    'Most events that a DELETE with filters may concern; 0: any number.',
  ),
  TRIBUTARY_DELETE_EVENTS: int(0, 0, 1e15, 'Most events that a DELETE without filters may concern; 0: any number.'),
  TRIBUTARY_DELETIONS: int(10_000, 1, 1_000_000, 'Most deletions of one project; they are remembered for good.'),
  TRIBUTARY_QUERY_WAIT_MS: int(10_000, 1, 600_000, 'How long a query waits its turn before it is refused with 429.'),
  TRIBUTARY_QUERY_CACHE_BYTES: int(64 * MIB, MIB, 1e12, 'Memory for results that queries with `max_age` may reuse.'),
  TRIBUTARY_EXTRACTION_SCAN: int(1_000_000, 1, 1e12, 'Most events that an extraction in an answer may go through.'),
  TRIBUTARY_EXTRACTION_EVENTS: int(100_000, 1, 100_000_000, 'Most events of an extraction in an answer.'),
  TRIBUTARY_EXTRACTION_JOB_EVENTS: int(10_000_000, 1, 1e9, 'Most events of an extraction to a file.'),
  TRIBUTARY_EXTRACTION_JOB_BYTES: int(2_000_000_000, MIB, 1e15, 'Its most bytes.'),
  TRIBUTARY_EXTRACTION_JOB_SECONDS: int(3_600, 1, 86_400, 'Its longest time.'),
  TRIBUTARY_EXTRACTION_JOBS: int(2, 1, 64, 'Extractions to files that run at once in a process; others wait.'),
  TRIBUTARY_EXTRACTION_FILES_BYTES: int(
    20_000_000_000,
    MIB,
    1e15,
    'Most bytes of all these files; the oldest go first.',
  ),
  TRIBUTARY_EXTRACTION_LINK_DAYS: int(30, 1, 3_650, 'Days that a file is kept and its link is good.'),
  TRIBUTARY_SAVED_QUERIES: int(1_000, 1, 10_000, 'Most saved queries of one project.'),
  TRIBUTARY_CACHED_REFRESH_MIN_S: int(14_400, 1, 172_800, 'Least refresh rate of a cached query, in seconds.'),
  TRIBUTARY_CACHED_REFRESH_MAX_S: int(86_400, 1, 172_800, 'Its greatest.'),
  TRIBUTARY_CACHED_RESULT_BYTES: int(8_000_000, 1_024, 256 * MIB, 'Largest result that is kept, as JSON.'),
  TRIBUTARY_CACHED_REFRESHES: int(2, 1, 64, 'Cached queries that a process refreshes at once.'),
  TRIBUTARY_DATASET_REFRESH_S: int(
    3_600,
    0,
    86_400,
    'How often datasets are computed ahead, in seconds; 0: never, they are read from the events.',
  ),
  TRIBUTARY_DATASET_REFRESHES: int(2, 1, 64, 'Datasets that a process refreshes at once.'),
  TRIBUTARY_DATASET_VALUES: int(1_000_000, 1, 100_000_000, 'Most values that one refresh of a dataset may compute.'),
  TRIBUTARY_TAILS: int(64, 1, 10_000, 'Live tails open at once in a process.'),
  TRIBUTARY_TAILS_PER_PROJECT: int(16, 1, 10_000, 'Those of one project.'),
  TRIBUTARY_TAILS_PER_KEY: int(8, 1, 10_000, 'Those under one key.'),
  TRIBUTARY_TAIL_EVENTS_PER_S: int(1_000, 1, 100_000, 'Most events a second on one live tail.'),
  TRIBUTARY_TAIL_QUEUE_BYTES: int(MIB, 1_024, 256 * MIB, 'Bytes that may wait for a slow reader of a live tail.'),
}

const exports = {
  TRIBUTARY_STREAM_ENDPOINTS: Type.Optional(
    text(
      'Comma-separated `host` or `host:port` that a stream may write to besides Amazon’s and Google’s own; `*.example.com` for all under it. They are reached from your network. Unset: none.',
    ),
  ),
  TRIBUTARY_STREAM_FOLDER: Type.Optional(
    text('Folder under which streams of the kind `folder` write, each project in its own. Unset: there are none.'),
  ),
  TRIBUTARY_STREAMS: int(20, 0, 10_000, 'Most streams of one project.'),
  TRIBUTARY_DELIVERIES_MADE: int(2, 1, 64, 'Deliveries of streams whose files a process makes at once.'),
  TRIBUTARY_DELIVERIES_SENT: int(8, 1, 256, 'Files of streams that a process sends at once.'),
  TRIBUTARY_DELIVERIES_MEMORY_BYTES: int(
    64 * MIB,
    MIB,
    65_536 * MIB,
    'Memory for events while files are made; beyond it they wait in files of the data folder.',
  ),
}

export interface SettingsGroup {
  readonly title: string
  readonly settings: Readonly<Record<string, TSchema>>
}

/** The settings by subject, in the order in which they are printed. */
export const SETTINGS_GROUPS: readonly SettingsGroup[] = [
  { title: 'Server', settings: server },
  { title: 'Organization', settings: organization },
  { title: 'Log', settings: log },
  { title: 'Warehouse', settings: warehouse },
  { title: 'Ingest', settings: ingest },
  { title: 'Loader', settings: loader },
  { title: 'Archive', settings: exporter },
  { title: 'Query', settings: query },
  { title: 'Streams and deliveries', settings: exports },
]

export const Environment = Type.Object({
  ...server,
  ...organization,
  ...log,
  ...warehouse,
  ...ingest,
  ...loader,
  ...exporter,
  ...query,
  ...exports,
})
export type Environment = Static<typeof Environment>
