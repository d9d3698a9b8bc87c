import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseState } from '../../services/query/datasets/state.ts'
import { progressKey } from '../../services/query/refresh/runs.ts'
import { slotAt } from '../../services/query/refresh/schedule.ts'
import { ask, call } from '../support/api.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { kafkaMissing } from '../support/servers.ts'
import { openRefreshing, type Refreshing, sum } from './refreshing.ts'

const RATE_S = 5
const DATASETS = 6
const DAYS = 20
const DAY_MS = 86_400_000
const PAGES = ['/a', '/b', '/c']

let at: Refreshing

describe.skipIf(kafkaMissing() !== undefined)('datasets over three processes', () => {
  beforeAll(async () => {
    at = await openRefreshing('dataset_runs', 'dataset_runs_total', { TRIBUTARY_DATASET_REFRESH_S: String(RATE_S) })
  })
  afterAll(async () => at?.close())

  test('each slot is refreshed once, by one of them, through a kill -9 of the one that holds a share; late events are seen', async () => {
    const { ingest, project, queries } = at
    const [one, two, three] = queries as [ServiceProcess, ServiceProcess, ServiceProcess]
    const send = async (some: readonly { readonly page: string; readonly daysAgo: number }[]): Promise<void> => {
      const visits = some.map(({ page, daysAgo }) => ({
        page,
        keen: { timestamp: new Date(Date.now() - daysAgo * DAY_MS).toISOString() },
      }))
      await eventually('ingest takes them', async () => {
        const path = `${ingest.url}/3.0/projects/${project.id}/events`
        return (await call('POST', path, { key: project.write, body: { visits } })).status === 200
      })
    }
    const query = { event_collection: 'visits', timeframe: `this_${DAYS}_days`, interval: 'daily' }
    const adHoc = async (page: string): Promise<readonly { readonly value: number }[]> => {
      const filters = [{ property_name: 'page', operator: 'eq', property_value: page }]
      return (await ask(two.url, project.id, project.read, 'count', { ...query, filters })) as { value: number }[]
    }
    const loaded = async (count: number): Promise<void> => {
      await eventually('they are loaded', async () => {
        const found = await Promise.all(PAGES.map(adHoc)).catch(() => [])
        return sum(found.flat().map(({ value }) => value)) === count
      })
    }
    await send(Array.from({ length: 60 }, (_, i) => ({ page: PAGES[i % 3] ?? '', daysAgo: i % DAYS })))
    await loaded(60)
    const names = Array.from({ length: DATASETS }, (_, n) => `d${n}`)
    const path = (service: ServiceProcess, name: string) => `${service.url}/3.0/projects/${project.id}/datasets/${name}`
    for (const name of names) {
      const body = { display_name: name, index_by: 'page', query: { analysis_type: 'count', ...query } }
      expect((await call('PUT', path(one, name), { key: project.master, body })).status).toBe(201)
    }
    const expectResults = async (services: readonly ServiceProcess[]): Promise<void> => {
      for (const service of services) {
        for (const name of names) {
          const page = PAGES[names.indexOf(name) % PAGES.length] ?? ''
          const results = `${path(service, name)}/results?index_by=${encodeURIComponent(page)}&timeframe=${query.timeframe}`
          const { body } = await call('GET', results, { key: project.read })
          expect(body).toMatchObject({ result: await adHoc(page), metadata: { dataset: { status: 'OK' } } })
        }
      }
    }
    await eventually('each has run three times', async () => {
      const counts = Map.groupBy(await at.runs(), (run) => run.name)
      return names.every((name) => (counts.get(name)?.length ?? 0) >= 3)
    })
    await expectResults([one, two, three])

    // The one that refreshed most dies in the middle of it.
    const { counts, rows } = await at.settled(queries)
    // A slot that two had computed would be one row, and be counted twice.
    expect(sum(counts)).toBe(rows)
    const byVictim = Math.max(...counts)
    const victim = queries[counts.indexOf(byVictim)] ?? one
    expect(byVictim).toBeGreaterThan(0)
    const killedAtMs = Date.now()
    await victim.kill()
    // Into intervals that were computed long before.
    await send(PAGES.map((page, i) => ({ page, daysAgo: 10 + i })))
    const left = [one, two, three].filter((service) => service !== victim)
    const refreshedAfter = async (sinceMs: number): Promise<void> => {
      await eventually(
        'the others refresh all of them',
        async () => {
          const late = Map.groupBy(
            (await at.runs()).filter((run) => run.ranAtMs > sinceMs),
            (run) => run.name,
          )
          return names.every((name) => (late.get(name)?.length ?? 0) >= 2)
        },
        90_000,
      )
    }
    await refreshedAfter(killedAtMs + 2_000)
    const tookOverMs = Date.now() - killedAtMs
    const alive = left.includes(two) ? two : (left[0] ?? one)
    await eventually('the late events are loaded', async () => {
      const body = { event_collection: 'visits', timeframe: query.timeframe }
      return (await ask(alive.url, project.id, project.read, 'count', body).catch(() => 0)) === 63
    })
    await refreshedAfter(Date.now())
    const all = await at.runs()
    const slots = all.map((run) => `${progressKey({ projectId: project.id, ...run })}/${run.slot}`)
    expect(slots.length).toBe(new Set(slots).size)
    for (const run of all) expect(run.slot).toBe(slotAt(`${project.id}/${run.name}`, RATE_S, run.ranAtMs))
    for (const service of left) {
      for (const name of names) {
        const page = PAGES[names.indexOf(name) % PAGES.length] ?? ''
        const filters = [{ property_name: 'page', operator: 'eq', property_value: page }]
        const expected = await ask(alive.url, project.id, project.read, 'count', { ...query, filters })
        const results = `${path(service, name)}/results?index_by=${encodeURIComponent(page)}&timeframe=${query.timeframe}`
        const { body } = await call('GET', results, { key: project.read })
        expect(body).toMatchObject({ result: expected, metadata: { dataset: { status: 'OK' } } })
      }
    }
    // From the stored cells, and most of them were never computed again.
    for (const service of left) {
      const metrics = await service.metrics()
      expect(metrics.get('dataset_answers_total{from="computed"}') ?? 0).toBe(0)
    }
    const [last] = all.slice(-1)
    const state = parseState(last?.result ?? '')
    expect(state.made.length).toBe(DAYS)
    expect(new Set(state.made.map(({ generation }) => generation)).size).toBeGreaterThan(1)
    const after = await at.settled(left)
    expect(sum(after.counts) + byVictim).toBeLessThanOrEqual(after.rows)
    expect(sum(after.counts) + byVictim).toBeGreaterThanOrEqual(after.rows - DATASETS)
    process.stdout.write(`${all.length} runs, ${rows} of them before the kill, taken over within ${tookOverMs} ms\n`)
  })
})
