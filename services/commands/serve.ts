import { Command } from 'commander'
import { loadConfig } from '../shared/config.ts'

export type Role = 'ingest' | 'loader' | 'exporter' | 'deliveries' | 'query' | 'admin'

interface Service {
  readonly name: string
  readonly roles: readonly Role[]
  readonly description: string
  readonly example: string
}

const SERVICES: readonly Service[] = [
  {
    name: 'all',
    roles: ['admin', 'ingest', 'query', 'loader', 'exporter', 'deliveries'],
    description:
      'everything in one process, on one port; embedded unless KAFKA_BROKERS and CLICKHOUSE_URL say otherwise',
    example: 'TRIBUTARY_PORT=9000 tributary all',
  },
  {
    name: 'ingest',
    roles: ['ingest'],
    description: 'take events over HTTP and write them to the log',
    example: 'KAFKA_BROKERS=kafka:9092 tributary ingest',
  },
  {
    name: 'loader',
    roles: ['loader'],
    description: 'load the log into ClickHouse',
    example: 'KAFKA_BROKERS=kafka:9092 CLICKHOUSE_URL=http://clickhouse:8123 tributary loader',
  },
  {
    name: 'exporter',
    roles: ['exporter'],
    description: 'write the log’s raw events to the archive: a folder, an S3 or a GCS bucket',
    example: 'KAFKA_BROKERS=kafka:9092 TRIBUTARY_ARCHIVE=s3://events/archive tributary exporter',
  },
  {
    name: 'deliveries',
    roles: ['deliveries'],
    description: 'deliver the projects’ streams from the archive into their own buckets',
    example: 'KAFKA_BROKERS=kafka:9092 TRIBUTARY_ARCHIVE=s3://events/archive tributary deliveries',
  },
  {
    name: 'query',
    roles: ['query'],
    description: 'answer queries over HTTP',
    example: 'KAFKA_BROKERS=kafka:9092 CLICKHOUSE_URL=http://clickhouse:8123 tributary query',
  },
  {
    name: 'admin',
    roles: ['admin'],
    description: 'manage projects and keys over HTTP',
    example: 'KAFKA_BROKERS=kafka:9092 tributary admin',
  },
]

/** The long-running commands; each serves /healthz, /readyz and /metrics on TRIBUTARY_PORT. */
export function serveCommands(): readonly Command[] {
  return SERVICES.map(({ name, roles, description, example }) =>
    new Command(name)
      .description(description)
      .addHelpText(
        'after',
        `
Serves /healthz, /readyz and /metrics too. SIGTERM or ctrl-c drains and loses nothing; a second one leaves at once.
Settings come from the environment: see \`tributary --help\`.

Example:
  $ ${example}`,
      )
      .action(async () => {
        const config = loadConfig(process.env, process.cwd())
        const { serve } = await import('./serve/serve.ts')
        process.exitCode = await serve({ name, roles, config, isTerminal: name === 'all' && process.stdout.isTTY })
      }),
  )
}
