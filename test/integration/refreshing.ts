import { openHttpWarehouse } from '../../services/shared/warehouse/http.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import type { ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl, kafkaBrokers } from '../support/servers.ts'

export interface Run {
  readonly name: string
  readonly version: string
  readonly slot: number
  readonly ranAtMs: number
  readonly result: string
}

/** Three processes that could all refresh, on Kafka's groups and one ClickHouse. */
export interface Refreshing {
  readonly deployment: DeploymentUnderTest
  readonly ingest: ServiceProcess
  readonly queries: readonly ServiceProcess[]
  readonly project: ProjectKeys
  /** Good ones, in the order of time. */
  runs(): Promise<readonly Run[]>
  /** What the processes say that they stored, at a moment when nothing was being stored: each, and how many rows there were. */
  settled(services: readonly ServiceProcess[]): Promise<{ readonly counts: readonly number[]; readonly rows: number }>
  close(): Promise<void>
}

/** `table` has the runs, `counter` counts them. */
export async function openRefreshing(
  table: string,
  counter: string,
  env: Readonly<Record<string, string>>,
): Promise<Refreshing> {
  const deployment = await openDeployment({
    brokers: kafkaBrokers(),
    clickhouseUrl: clickhouseUrl(),
    env: { TRIBUTARY_LOG_SESSION_MS: '6000', ...env },
  })
  const [ingest, , admin, ...queries] = await Promise.all([
    deployment.start('ingest'),
    deployment.start('loader'),
    deployment.start('admin'),
    ...[1, 2, 3].map(async () => deployment.start('query')),
  ])
  const url = new URL(deployment.env['CLICKHOUSE_URL'] ?? '')
  const warehouse: Warehouse = openHttpWarehouse({
    url: new URL(url.origin),
    username: url.username || 'default',
    password: url.password,
    database: url.pathname.slice(1),
    connectionsMax: 2,
    idleSocketMs: 2_500,
    requestTimeoutMs: 30_000,
  })
  const project = await deployment.project(admin.url)
  const runs = async (): Promise<readonly Run[]> => {
    const { rows } = await warehouse.read({
      sql: `SELECT name, version, slot, toUnixTimestamp64Milli(ran_at), result FROM ${table}
      WHERE project = {project:String} AND status = 'success' ORDER BY ran_at`,
      params: { project: project.id },
      limits: { executionS: 30, rowsToRead: 1e9, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e8 },
      queryId: crypto.randomUUID(),
      signal: new AbortController().signal,
    })
    return rows.map(([name, version, slot, ranAtMs, result]) => ({
      name: String(name),
      version: String(version),
      slot: Number(slot),
      ranAtMs: Number(ranAtMs),
      result: String(result),
    }))
  }
  const stored = async (service: ServiceProcess): Promise<number> =>
    (await service.metrics()).get(`${counter}{outcome="stored"}`) ?? 0
  return {
    deployment,
    ingest,
    queries,
    project,
    runs,
    settled: async (services) =>
      eventually('a moment without a run', async () => {
        const before = (await runs()).length
        // Who has stored a row counts it once the warehouse has answered: a little after others can see it.
        await new Promise((resolve) => setTimeout(resolve, 300))
        const counts = await Promise.all(services.map(stored))
        return (await runs()).length === before ? { counts, rows: before } : undefined
      }),
    async close() {
      await warehouse.close()
      await deployment.close()
    },
  }
}

export const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
