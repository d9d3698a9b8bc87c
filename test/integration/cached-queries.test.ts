import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { progressKey } from '../../services/query/refresh/runs.ts'
import { slotAt } from '../../services/query/refresh/schedule.ts'
import { openHttpWarehouse } from '../../services/shared/warehouse/http.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { ask, call, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'

/** Three processes that could all refresh, on Kafka's groups and one ClickHouse. */
const RATE_S = 5
const QUERIES = 6
const ENV = { TRIBUTARY_CACHED_REFRESH_MIN_S: '1', TRIBUTARY_LOG_SESSION_MS: '6000' }
const EVER = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }

let deployment: DeploymentUnderTest
let ingest: ServiceProcess
let admin: ServiceProcess
let queries: ServiceProcess[]
let project: ProjectKeys
let warehouse: Warehouse

interface Run {
  readonly name: string
  readonly version: string
  readonly slot: number
  readonly ranAtMs: number
  readonly result: string
}

async function runs(): Promise<readonly Run[]> {
  const { rows } = await warehouse.read({
    sql: `SELECT name, version, slot, toUnixTimestamp64Milli(ran_at), result FROM cached_query_runs
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
  (await service.metrics()).get('cached_query_runs_total{outcome="stored"}') ?? 0

/** What the processes say that they stored, at a moment when nothing was being stored: each, and how many rows there were. */
const settled = async (services: readonly ServiceProcess[]): Promise<{ counts: readonly number[]; rows: number }> =>
  eventually('a moment without a run', async () => {
    const before = (await runs()).length
    const counts = await Promise.all(services.map(stored))
    await new Promise((resolve) => setTimeout(resolve, 100))
    return (await runs()).length === before ? { counts, rows: before } : undefined
  })
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

describe.skipIf(kafkaMissing() !== undefined)('cached queries over three processes', () => {
  beforeAll(async () => {
    deployment = await openDeployment({ brokers: kafkaBrokers(), clickhouseUrl: clickhouseUrl(), env: ENV })
    ;[ingest, , admin, ...queries] = await Promise.all([
      deployment.start('ingest'),
      deployment.start('loader'),
      deployment.start('admin'),
      ...[1, 2, 3].map(async () => deployment.start('query')),
    ])
    const url = new URL(deployment.env['CLICKHOUSE_URL'] ?? '')
    warehouse = openHttpWarehouse({
      url: new URL(url.origin),
      username: url.username || 'default',
      password: url.password,
      database: url.pathname.slice(1),
      connectionsMax: 2,
      idleSocketMs: 2_500,
      requestTimeoutMs: 30_000,
    })
    project = await deployment.project(admin.url)
  })
  afterAll(async () => {
    await warehouse?.close()
    await deployment?.close()
  })

  test('each slot is refreshed once, by one of them, through a kill -9 of the one that holds a share', async () => {
    const [one, two, three] = queries as [ServiceProcess, ServiceProcess, ServiceProcess]
    const visits = [{ page: '/a' }, { page: '/a' }, { page: '/b' }]
    await eventually('ingest takes them', async () => {
      const path = `${ingest.url}/3.0/projects/${project.id}/events`
      return (await call('POST', path, { key: project.write, body: { visits } })).status === 200
    })
    const body = { event_collection: 'visits', timeframe: EVER, group_by: 'page' }
    const adHoc = async () => ask(two.url, project.id, project.read, 'count', body)
    await eventually('they are loaded', async () => {
      const found = await adHoc().catch(() => undefined)
      return Array.isArray(found) && found.reduce((sum, row: { result: number }) => sum + row.result, 0) === 3
    })
    const names = Array.from({ length: QUERIES }, (_, n) => `q${n}`)
    const path = (service: ServiceProcess, name: string) =>
      `${service.url}/3.0/projects/${project.id}/queries/saved/${name}`
    for (const name of names) {
      const query = { analysis_type: 'count', ...body }
      const { status } = await call('PUT', path(one, name), {
        key: project.master,
        body: { query, refresh_rate: RATE_S },
      })
      expect(status).toBe(201)
    }
    await eventually('each has run three times', async () => {
      const counts = Map.groupBy(await runs(), (run) => run.name)
      return names.every((name) => (counts.get(name)?.length ?? 0) >= 3)
    })

    // The one that refreshed most dies in the middle of it.
    const { counts, rows } = await settled(queries)
    // A slot that two had computed would be one row, and be counted twice.
    expect(sum(counts)).toBe(rows)
    const byVictim = Math.max(...counts)
    const victim = queries[counts.indexOf(byVictim)] ?? one
    expect(byVictim).toBeGreaterThan(0)
    const killedAtMs = Date.now()
    await victim.kill()
    const left = [one, two, three].filter((service) => service !== victim)
    await eventually(
      'the others refresh all of them',
      async () => {
        const late = Map.groupBy(
          (await runs()).filter((run) => run.ranAtMs > killedAtMs + 2_000),
          (run) => run.name,
        )
        return names.every((name) => (late.get(name)?.length ?? 0) >= 2)
      },
      90_000,
    )
    const tookOverMs = Date.now() - killedAtMs

    const all = await runs()
    const slots = all.map((run) => `${progressKey({ projectId: project.id, ...run })}/${run.slot}`)
    expect(slots.length).toBe(new Set(slots).size)
    // A slot is computed within it, not ahead of it and not over again.
    for (const run of all) expect(run.slot).toBe(slotAt(`${project.id}/${run.name}`, RATE_S, run.ranAtMs))
    const expected = await adHoc()
    for (const run of all) expect(JSON.parse(run.result)).toEqual(expected)
    for (const service of left) {
      for (const name of names) {
        const { body: answer } = await call('GET', `${path(service, name)}/result`, { key: project.read })
        expect(answer).toMatchObject({ result: expected, run_information: { last_run_status: 'success' } })
      }
    }
    // What the dead one stored after it was asked is not known; more than the rows there are was never computed.
    const after = await settled(left)
    expect(sum(after.counts) + byVictim).toBeLessThanOrEqual(after.rows)
    expect(sum(after.counts) + byVictim).toBeGreaterThanOrEqual(after.rows - QUERIES)
    process.stdout.write(`${all.length} runs, ${rows} of them before the kill, taken over within ${tookOverMs} ms\n`)
  })
})
