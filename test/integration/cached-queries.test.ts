import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { progressKey } from '../../services/query/refresh/runs.ts'
import { slotAt } from '../../services/query/refresh/schedule.ts'
import { ask, call } from '../support/api.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { kafkaMissing } from '../support/servers.ts'
import { openRefreshing, type Refreshing, sum } from './refreshing.ts'

const RATE_S = 5
const QUERIES = 6
const EVER = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }

let at: Refreshing

describe.skipIf(kafkaMissing() !== undefined)('cached queries over three processes', () => {
  beforeAll(async () => {
    at = await openRefreshing('cached_query_runs', 'cached_query_runs_total', { TRIBUTARY_CACHED_REFRESH_MIN_S: '1' })
  })
  afterAll(async () => at?.close())

  test('each slot is refreshed once, by one of them, through a kill -9 of the one that holds a share', async () => {
    const { ingest, project, queries } = at
    const [one, two, three] = queries as [ServiceProcess, ServiceProcess, ServiceProcess]
    const visits = [{ page: '/a' }, { page: '/a' }, { page: '/b' }]
    await eventually('ingest takes them', async () => {
      const path = `${ingest.url}/3.0/projects/${project.id}/events`
      return (await call('POST', path, { key: project.write, body: { visits } })).status === 200
    })
    const body = { event_collection: 'visits', timeframe: EVER, group_by: 'page' }
    let asked = two
    const adHoc = async () => ask(asked.url, project.id, project.read, 'count', body)
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
      const counts = Map.groupBy(await at.runs(), (run) => run.name)
      return names.every((name) => (counts.get(name)?.length ?? 0) >= 3)
    })

    // The one that refreshed most dies in the middle of it.
    const { counts, rows } = await at.settled(queries)
    // A slot that two had computed would be one row, and be counted twice.
    expect(sum(counts)).toBe(rows)
    const byVictim = Math.max(...counts)
    const victim = queries[counts.indexOf(byVictim)] ?? one
    expect(byVictim).toBeGreaterThan(0)
    const killedAtMs = Date.now()
    await victim.kill()
    const left = [one, two, three].filter((service) => service !== victim)
    asked = left[0] ?? two
    await eventually(
      'the others refresh all of them',
      async () => {
        const late = Map.groupBy(
          (await at.runs()).filter((run) => run.ranAtMs > killedAtMs + 2_000),
          (run) => run.name,
        )
        return names.every((name) => (late.get(name)?.length ?? 0) >= 2)
      },
      90_000,
    )
    const tookOverMs = Date.now() - killedAtMs

    const all = await at.runs()
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
    const after = await at.settled(left)
    expect(sum(after.counts) + byVictim).toBeLessThanOrEqual(after.rows)
    expect(sum(after.counts) + byVictim).toBeGreaterThanOrEqual(after.rows - QUERIES)
    process.stdout.write(`${all.length} runs, ${rows} of them before the kill, taken over within ${tookOverMs} ms\n`)
  })
})
