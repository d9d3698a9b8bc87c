import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flightEvent, flightsFile, readFlights } from '../../services/commands/demo/flights.ts'
import { AIRPORT_FILTERS, QUESTIONS } from '../../services/commands/demo/questions.ts'
import { ask, call, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl } from '../support/servers.ts'
import { type RunningFront, startFront } from '../support/start-clickhouse.ts'

const MAIN = join(import.meta.dirname, '../../services/main.ts')
const FLIGHTS = 4_000
const STEP = 700
const BATCH = 1_000

let deployment: DeploymentUnderTest
let admin: ServiceProcess
let project: ProjectKeys
let folder: string
/** A second, empty warehouse. */
let rebuilt: RunningFront

beforeAll(async () => {
  deployment = await openDeployment({
    brokers: undefined,
    clickhouseUrl: clickhouseUrl(),
    env: { TRIBUTARY_ARCHIVE_RANGE_AGE_S: '1' },
  })
  folder = await mkdtemp(join(tmpdir(), 'tributary-rebuilt-'))
  rebuilt = await startFront({ folder })
  admin = await deployment.start('admin')
  project = await deployment.project(admin.url)
})
afterAll(async () => {
  await deployment.close()
  await rebuilt.stop()
  await rm(folder, { recursive: true, force: true })
})

async function tributary(args: readonly string[], extra: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env['PATH'] ?? '', ...deployment.env, ...extra }
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [MAIN, ...args], { env })) }
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string }
  }
}

async function answers(query: ServiceProcess, access: string): Promise<readonly unknown[]> {
  const found: unknown[] = []
  for (const { analysis, body, key } of QUESTIONS) {
    found.push(await ask(query.url, project.id, key === 'read' ? project.read : access, analysis, body))
  }
  return found
}

test('what ingest, loader and exporter made is whole, and a warehouse rebuilt from the archive gives the same answers', async () => {
  const [ingest, loader, exporter, query] = await Promise.all([
    deployment.start('ingest'),
    deployment.start('loader'),
    deployment.start('exporter'),
    deployment.start('query'),
  ])
  const events: unknown[] = []
  for await (const { flight } of readFlights(flightsFile(), { step: STEP, max: FLIGHTS })) {
    events.push(JSON.parse((flightEvent(flight) as { json: string }).json))
  }
  expect(events).toHaveLength(FLIGHTS)
  for (let start = 0; start < FLIGHTS; start += BATCH) {
    await eventually('ingest takes them', async () => {
      const body = { flights: events.slice(start, start + BATCH) }
      const url = `${ingest.url}/3.0/projects/${project.id}/events`
      return (await call('POST', url, { key: project.write, body })).status === 200
    })
  }
  const made = await eventually('a key is made', async () => {
    const body = {
      name: 'one airport',
      is_active: true,
      permitted: ['queries'],
      options: { queries: { filters: AIRPORT_FILTERS } },
    }
    const answer = await call('POST', `${admin.url}/3.0/projects/${project.id}/keys`, { key: project.master, body })
    return answer.status < 300 ? (answer.body as { key: string }) : undefined
  })
  const counted = async (service: ServiceProcess, name: string): Promise<number> =>
    (await service.metrics()).get(name) ?? 0
  await eventually('all are loaded and archived', async () => {
    return (
      (await counted(loader, 'loader_events_stored_total')) === FLIGHTS &&
      (await counted(exporter, 'exporter_events_exported_total')) === FLIGHTS
    )
  })
  const before = await answers(query, made.key)

  const audited = await tributary(['audit', '--json'])
  expect(audited.code, audited.stdout + audited.stderr).toBe(0)
  const report = JSON.parse(audited.stdout) as { partitions: { events: number; warehouse: { compared: number } }[] }
  expect(report.partitions.reduce((sum, one) => sum + one.events, 0)).toBe(FLIGHTS)
  expect(report.partitions.reduce((sum, one) => sum + one.warehouse.compared, 0)).toBe(FLIGHTS)

  const elsewhere = { CLICKHOUSE_URL: `${rebuilt.url}/default` }
  const replayed = await tributary(['replay'], elsewhere)
  expect(replayed.code, replayed.stderr).toBe(0)
  expect(replayed.stderr).toContain(': 4,000 events put in, 0 were there.')
  expect((await tributary(['audit', '--quick'], elsewhere)).code).toBe(0)
  const query2 = await deployment.start('query', elsewhere)
  expect(await answers(query2, made.key)).toEqual(before)
})
