import * as fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../../services/shared/log/port.ts'
import { SHARES, topicSpecs } from '../../../services/shared/log/topics.ts'
import { eventually } from '../../support/processes.ts'
import { eventsBefore, queryArbitrary } from './generated.ts'
import { definition, openDatasets, type Row } from './support.ts'

const DAY = 86_400_000
/** The real day: the warehouse drops what is a week old by its own clock. */
const TODAY = Math.floor(Date.now() / DAY) * DAY
const REFRESH_S = 100
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 2 ** 31)

let folder: string
let log: Awaited<ReturnType<typeof openLmdbLog>>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-datasets-'))
  log = await openLmdbLog({ folder, sessionTimeoutMs: 5_000, handoverTimeoutMs: 1_000 })
  await log.ensureTopics(topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 }))
})
afterAll(async () => {
  await log.close()
  await rm(folder, { recursive: true, force: true })
})

const clock = { ms: 0 }
beforeEach(() => {
  clock.ms = TODAY + DAY / 2
})

const events = Array.from({ length: 60 }, (_, i) => ({
  user: ['ann', 'bob', 7, true][i % 4],
  tags: i % 3 === 0 ? ['x', 'y'] : 'x',
  plan: i % 5 === 0 ? null : 'p',
  price: i,
  atMs: TODAY - Math.floor((i / 60) * 20 * DAY),
}))

type Api = Awaited<ReturnType<typeof openDatasets>>

let opened: Api | undefined
const open = async (access: Parameters<typeof openDatasets>[1] = {}, valuesMax = 1_000_000): Promise<Api> => {
  opened = await openDatasets(events, access, { log, clock, refreshS: REFRESH_S, valuesMax })
  return opened
}
afterEach(async () => opened?.close())

const counted = async (
  api: Api,
): Promise<{ readonly computed: number; readonly kept: number; readonly runs: number }> => {
  const text = `${await api.metric('dataset_intervals_total')}\n${await api.metric('dataset_runs_total')}`
  const value = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)
  return {
    computed: value(/intervals_total\{what="computed"\} (\d+)/),
    kept: value(/intervals_total\{what="kept"\} (\d+)/),
    runs: value(/runs_total\{outcome="stored"\} (\d+)/),
  }
}
const ran = async (api: Api, runs: number, withinMs = 20_000): Promise<void> => {
  await eventually('a refresh', async () => (await counted(api)).runs >= runs, withinMs)
}
const adHoc = async (api: Api, query: object, index: object, timeframe: string): Promise<readonly Row[]> => {
  const {
    analysis_type: analysis,
    filters = [],
    ...rest
  } = {
    ...definition().query,
    ...query,
  } as Readonly<Record<string, unknown>> & { filters?: readonly object[] }
  const { status, body } = await api.call('POST', `queries/${String(analysis)}`, 'MASTER', {
    ...rest,
    timeframe,
    filters: [
      ...filters,
      ...Object.entries(index).map(([property_name, property_value]) => ({
        property_name,
        operator: 'eq',
        property_value,
      })),
    ],
  })
  expect([status, body.message]).toEqual([200, undefined])
  return body.result
}
const resultOf = async (api: Api, name: string, index: object, timeframe: string, key = 'READ') => {
  const path = `datasets/${name}/results?timeframe=${timeframe}&index_by=${encodeURIComponent(JSON.stringify(index))}`
  const { status, body } = await api.call('GET', path, key)
  expect([status, body.message]).toEqual([200, undefined])
  return body
}

const QUERIES = {
  counts: [{}, 'user'],
  several: [
    {
      analysis_type: 'multi_analysis',
      analyses: { n: { analysis_type: 'count' }, u: { analysis_type: 'select_unique', target_property: 'price' } },
      group_by: ['plan'],
    },
    ['user', 'tags'],
  ],
  middle: [
    {
      analysis_type: 'median',
      target_property: 'price',
      timezone: 'Europe/Berlin',
      interval: 'weekly',
      timeframe: 'this_4_weeks',
    },
    'tags',
  ],
} as const

test('results that were computed ahead are those of the ad-hoc query, for every index value', async () => {
  const api = await open()
  for (const [name, [query, index]] of Object.entries(QUERIES)) {
    const { status } = await api.call('PUT', `datasets/${name}`, 'MASTER', definition(query, index))
    expect(status).toBe(201)
  }
  expect((await api.call('GET', 'datasets/counts', 'READ')).body).toMatchObject({
    status: 'Created',
    last_scheduled_date: null,
  })
  api.work()
  await ran(api, 3)
  const before = await counted(api)
  for (const user of ['ann', 'bob', 7, true, 'nobody', '7']) {
    expect((await resultOf(api, 'counts', { user }, 'this_30_days')).result).toEqual(
      await adHoc(api, {}, { user }, 'this_30_days'),
    )
    for (const tags of ['x', 'y']) {
      const [query] = QUERIES.several
      const got = await resultOf(api, 'several', { user, tags }, 'previous_10_days')
      expect(got.result).toEqual(await adHoc(api, query, { user, tags }, 'previous_10_days'))
    }
  }
  const [query] = QUERIES.middle
  const got = await resultOf(api, 'middle', { tags: 'y' }, 'this_4_weeks')
  expect(got.result).toEqual(await adHoc(api, query, { tags: 'y' }, 'this_4_weeks'))
  expect(await api.metric('dataset_answers_total')).toMatch(/from="stored"\} 19\b/)
  expect(await api.metric('dataset_answers_total')).not.toMatch(/from="computed"/)
  expect(before.computed).toBe(30 + 30 + 4)
  const shown = await api.call('GET', 'datasets/counts', 'READ')
  expect(shown.body).toMatchObject({
    status: 'OK',
    milliseconds_behind: 0,
    last_scheduled_date: new Date(clock.ms).toISOString(),
  })
})

test('only new and changed intervals are computed; an event that comes late is seen by the next refresh', async () => {
  const api = await open()
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await ran(api, 1)
  expect(await counted(api)).toEqual({ computed: 30, kept: 0, runs: 1 })
  const old = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')

  // What the first refresh saw as new is looked at once more; then there is nothing to do.
  clock.ms += REFRESH_S * 1_000
  await ran(api, 2)
  const { computed: twice } = await counted(api)
  clock.ms += REFRESH_S * 1_000
  await ran(api, 3)
  expect((await counted(api)).computed).toBe(twice)

  await api.store([
    { user: 'ann', price: 1, atMs: TODAY - 10 * DAY + 5 },
    { user: 'new', price: 1, atMs: TODAY - 20 * DAY },
  ])
  expect((await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')).result).toEqual(old.result)
  clock.ms += REFRESH_S * 1_000
  await ran(api, 4)
  expect((await counted(api)).computed).toBe(twice + 2)
  for (const user of ['ann', 'new', 'bob']) {
    const got = await resultOf(api, 'd', { user }, 'this_30_days')
    expect(got.result).toEqual(await adHoc(api, {}, { user }, 'this_30_days'))
  }

  // A day that no refresh has seen is read from the events.
  clock.ms += DAY
  await api.store([{ user: 'ann', price: 1, atMs: TODAY + DAY + 5 }])
  const next = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')
  expect(next.result.at(-1)?.value).toBe(1)
  expect(next.result).toEqual(await adHoc(api, {}, { user: 'ann' }, 'this_30_days'))
})

test('a key with filters is never given what was computed over other rows', async () => {
  const filters = [{ property_name: 'price', operator: 'lt', property_value: 10 }]
  const api = await open({ FEW: { queries: { filters } } })
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await ran(api, 1)
  const few = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days', 'FEW')
  const all = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')
  expect(few.result).toEqual(await adHoc(api, { filters }, { user: 'ann' }, 'this_30_days'))
  expect(few.result).not.toEqual(all.result)
})

test('a deletion makes what was stored unreachable at once', async () => {
  const api = await open()
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await ran(api, 1)
  const filters = encodeURIComponent(JSON.stringify([{ property_name: 'user', operator: 'eq', property_value: 'ann' }]))
  const { status } = await api.call('DELETE', `events/purchases?filters=${filters}`, 'MASTER')
  expect(status).toBeLessThan(300)
  const got = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')
  expect(got.result.every(({ value }) => value === 0)).toBe(true)
})

/**
 * As the log does with a process that stalls: from `moved` on, whoever asks anew gets all shares, and the one that had them
 * before is not told. The log of one process cannot do so: it waits for who holds a share.
 */
const handingOver = (moved: () => boolean): Pick<EventLog, 'consume'> => ({
  async consume(options, onClaim) {
    if (!moved()) return log.consume(options, onClaim)
    const claims = Array.from({ length: SHARES }, (_, partition) => ({
      topic: options.topic,
      partition,
      epoch: 'epoch',
      committed: { offset: 0n, metadata: '' },
      // Each has its own, as the log's have.
      signal: AbortSignal.any([options.signal]),
      read: async () => [],
      commit: async () => undefined,
    }))
    await Promise.all(claims.map(onClaim))
  },
})

test.each(['before', 'after'] as const)(
  'who stalled %s its run was stored removes nothing that others have named since',
  async (when) => {
    const stalled = Promise.withResolvers<void>()
    const goesOn = Promise.withResolvers<void>()
    const tidied = Promise.withResolvers<void>()
    let stalls = 0
    let isGoingOn = false
    let removals = 0
    const stall = async (): Promise<void> => {
      if (stalls++ > 0) return
      stalled.resolve()
      await goesOn.promise
    }
    opened = await openDatasets(
      events,
      {},
      {
        log: handingOver(() => stalls > 0),
        clock,
        refreshS: REFRESH_S,
        beforeInsert: async (table) => {
          if (when === 'before' && table === 'dataset_runs') await stall()
        },
        aroundCommand: async (sql, command) => {
          const isRemoval = sql.includes('dataset_cells')
          if (when === 'after' && isRemoval) await stall()
          await command()
          if (!isRemoval) return
          removals++
          if (isGoingOn) tidied.resolve()
        },
      },
    )
    const api = opened
    await api.call('PUT', 'datasets/d', 'MASTER', definition())
    api.work()
    await stalled.promise
    try {
      // The other is in the same slot where no run of it is stored, else in one in which it does not tidy up: noon begins one.
      if (when === 'after') clock.ms += 3 * REFRESH_S * 1_000
      api.work()
      await ran(api, when === 'after' ? 2 : 1)
      const expected = await adHoc(api, {}, { user: 'ann' }, 'this_30_days')
      const others = async () => (await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')).result
      expect(await others()).toEqual(expected)
      if (when === 'before') await eventually('the other tidied up', async () => removals === 1)
      isGoingOn = true
      goesOn.resolve()
      await tidied.promise
      expect(await others()).toEqual(expected)
    } finally {
      goesOn.resolve()
    }
  },
)

test('a dataset that is too large says so, and is read from the events', async () => {
  const api = await open({}, 20)
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await eventually('a failed run', async () => /outcome="failed"\} [1-9]/.test(await api.metric('dataset_runs_total')))
  await eventually('its status', async () => {
    const { body } = await api.call('GET', 'datasets/d', 'READ')
    return (body as unknown as { status: string }).status === 'BootstrappingFailed'
  })
  const got = await resultOf(api, 'd', { user: 'ann' }, 'this_30_days')
  expect(got.result).toEqual(await adHoc(api, {}, { user: 'ann' }, 'this_30_days'))
})

test('a dataset that is deleted and made anew has nothing of the old one', async () => {
  const api = await open()
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await ran(api, 1)
  expect((await api.call('DELETE', 'datasets/d', 'MASTER')).status).toBe(204)
  const count = async (table: string) => api.count(table)
  expect([await count('dataset_cells'), await count('dataset_runs')]).toEqual([0, 0])
  await api.call('PUT', 'datasets/d', 'MASTER', definition({ analysis_type: 'sum', target_property: 'price' }))
  await ran(api, 2)
  const query = { analysis_type: 'sum', target_property: 'price' }
  const got = await resultOf(api, 'd', { user: 'bob' }, 'this_30_days')
  expect(got.result).toEqual(await adHoc(api, query, { user: 'bob' }, 'this_30_days'))
})

test('whatever is defined: what was computed ahead is what the same query with the index as a filter gives', {
  timeout: 120_000,
}, async () => {
  const cases = fc.sample(queryArbitrary, { numRuns: 60, seed: SEED })
  opened = await openDatasets(eventsBefore(clock.ms), {}, { log, clock, refreshS: REFRESH_S })
  const api = opened
  const defined = cases.map(({ analysis, timezone, spans: [timeframe, interval], group, filters }) => ({
    ...analysis,
    ...group,
    timezone,
    interval,
    filters,
    timeframe,
  }))
  for (const [n, query] of defined.entries()) {
    expect((await api.call('PUT', `datasets/d${n}`, 'MASTER', definition(query))).status).toBe(201)
  }
  api.work()
  await ran(api, cases.length, 90_000)
  for (const [n, { spans, user }] of cases.entries()) {
    const { timeframe: _whole, ...query } = defined[n] ?? {}
    const got = await resultOf(api, `d${n}`, { user }, spans[2] ?? '')
    expect(got.result, JSON.stringify([SEED, cases[n]])).toEqual(await adHoc(api, query, { user }, spans[2] ?? ''))
  }
  expect(await api.metric('dataset_answers_total')).not.toMatch(/from="computed"/)
})

test('a dataset that is deleted while it is refreshed leaves no cells behind', async () => {
  const mayGoOn = Promise.withResolvers<void>()
  let waiting = false
  const beforeInsert = async (table: string): Promise<void> => {
    if (table !== 'dataset_cells') return
    waiting = true
    await mayGoOn.promise
  }
  opened = await openDatasets(events, {}, { log, clock, refreshS: REFRESH_S, beforeInsert })
  const api = opened
  await api.call('PUT', 'datasets/d', 'MASTER', definition())
  api.work()
  await eventually('a refresh about to store', async () => waiting, 20_000)
  expect((await api.call('DELETE', 'datasets/d', 'MASTER')).status).toBe(204)
  mayGoOn.resolve()
  const isOver = async (): Promise<boolean> =>
    /outcome="superseded"\} 1/.test(await api.metric('dataset_runs_total')) && (await api.count('dataset_cells')) === 0
  await eventually('nothing is left', isOver, 10_000)
  expect(await api.count('dataset_runs')).toBe(0)
})

test('cells are made anew before they expire', async () => {
  const api = await open()
  await api.call('PUT', 'datasets/d', 'MASTER', definition({ timeframe: 'this_2_years', interval: 'monthly' }))
  api.work()
  await ran(api, 1)
  clock.ms += REFRESH_S * 1_000
  await ran(api, 2)
  const { computed } = await counted(api)
  clock.ms += 31 * DAY
  await ran(api, 3)
  expect((await counted(api)).computed).toBeGreaterThanOrEqual(computed + 12)
})
