import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { definition, type Method, NOW, openDatasets, type Row } from './support.ts'

const DAY = 86_400_000
const DATASETS = (options: Record<string, unknown>) => ({ datasets: options })
let api: Awaited<ReturnType<typeof openDatasets>>

beforeAll(async () => {
  api = await openDatasets(
    [
      { user: 'ann', plan: 'a', atMs: NOW },
      { user: 'ann', plan: 'b', atMs: NOW - DAY },
      { user: 'bob', plan: 'a', atMs: NOW },
      { user: true, plan: 'a', atMs: NOW },
    ],
    {
      ANN: DATASETS({ allowed: { sales: { index_by: { user: ['ann'] } } } }),
      MISSPELT: DATASETS({ allowed: { sales: { index_by: { usr: ['ann'] } } } }),
      UNLIMITED: DATASETS({ allowed: { sales: {} } }),
      BLOCKED: DATASETS({ allowed: { sales: {} }, blocked: ['sales'] }),
      NOTHING: DATASETS({ allowed: {} }),
      LISTS: DATASETS({ operations: ['list'] }),
      RETRIEVES: DATASETS({ operations: ['retrieve'] }),
      FILTERED: { queries: { filters: [{ property_name: 'user', operator: 'eq', property_value: 'bob' }] } },
    },
  )
  expect((await api.call('PUT', 'datasets/sales', 'MASTER', definition())).status).toBe(201)
  expect((await api.call('PUT', 'datasets/other', 'MASTER', definition({}, ['user', 'plan']))).status).toBe(201)
})
afterAll(async () => api.close())

const results = (index: string, more = 'timeframe=this_2_days') =>
  `datasets/sales/results?index_by=${encodeURIComponent(index)}&${more}`
const counts = ({ body }: { body: { result: readonly Row[] } }) => body.result.map(({ value }) => value)

test('a definition is shown with lists, and made once', async () => {
  const { body } = await api.call('GET', 'datasets/sales', 'READ')
  expect(body).toMatchObject({
    project_id: api.project.id,
    dataset_name: 'sales',
    index_by: ['user'],
    status: 'OK',
    milliseconds_behind: 0,
    query: { project_id: api.project.id, group_by: [], timezone: 'UTC' },
  })
  expect((await api.call('PUT', 'datasets/sales', 'MASTER', definition())).status).toBe(200)
  expect((await api.call('PUT', 'datasets/sales', 'MASTER', definition({ interval: 'weekly' }))).status).toBe(400)
  expect((await api.call('HEAD', 'datasets/sales', 'READ')).status).toBe(200)
  expect((await api.call('PUT', 'datasets/short', 'MASTER', definition())).status).toBe(201)
  expect((await api.call('DELETE', 'datasets/short', 'MASTER')).status).toBe(204)
  expect((await api.call('GET', 'datasets/short', 'READ')).status).toBe(404)
  expect((await api.call('DELETE', 'datasets/short', 'MASTER')).status).toBe(404)
})

test('pages follow one another by absolute links', async () => {
  const { body } = await api.call('GET', 'datasets?limit=1', 'READ')
  expect(body).toMatchObject({ count: 2, datasets: [{ dataset_name: 'other' }] })
  const base = `http://api.example:8080/3.0/projects/${api.project.id}/`
  expect(body.next_page_url).toBe(`${base}datasets?limit=1&after_name=other`)
  const next = await api.call('GET', body.next_page_url?.slice(base.length) ?? '', 'READ')
  expect(next.body).toMatchObject({ count: 2, datasets: [{ dataset_name: 'sales' }], next_page_url: null })
})

test('values by index value in all its forms, zeros for one that nobody has', async () => {
  for (const index of ['ann', '"ann"', '["ann"]', '{"user":"ann"}']) {
    expect(counts(await api.call('GET', results(index), 'READ'))).toEqual([1, 1])
  }
  expect(counts(await api.call('GET', results('{"user":true}'), 'READ'))).toEqual([0, 1])
  expect(counts(await api.call('GET', results('true'), 'READ'))).toEqual([0, 0])
  expect(counts(await api.call('GET', results('nobody', 'timeframe="this_2_days"'), 'READ'))).toEqual([0, 0])
  const two = 'datasets/other/results?timeframe=this_2_days&index_by=' + encodeURIComponent('["ann","b"]')
  expect(counts(await api.call('GET', two, 'READ'))).toEqual([1, 0])
})

test('a bulk read answers in the order of its values', async () => {
  const asked = { index_by: ['bob', { user: 'ann' }], timeframe: 'this_2_days' }
  const { body } = await api.call('POST', 'datasets/sales/results', 'READ', asked)
  const onlyToday = [{ value: 0 }, { value: 1 }]
  expect(body.result).toMatchObject([
    { index_by: { user: 'bob' }, result: onlyToday },
    { index_by: { user: 'ann' }, result: [{ value: 1 }, { value: 1 }] },
  ])
})

describe('who may do what', () => {
  const bulk = (...index_by: string[]) => ['POST', 'datasets/sales/results', { index_by, timeframe: 'today' }] as const
  const cases = [
    [
      'GET',
      'datasets/sales',
      undefined,
      { MASTER: 200, READ: 200, WRITE: 403, ANN: 200, BLOCKED: 403, NOTHING: 403, LISTS: 403, RETRIEVES: 403 },
    ],
    ['GET', 'datasets', undefined, { MASTER: 200, READ: 200, WRITE: 403, ANN: 200, LISTS: 200, RETRIEVES: 403 }],
    [
      'GET',
      results('ann'),
      undefined,
      {
        MASTER: 200,
        READ: 200,
        WRITE: 403,
        ANN: 200,
        MISSPELT: 403,
        UNLIMITED: 200,
        BLOCKED: 403,
        NOTHING: 403,
        LISTS: 403,
        RETRIEVES: 200,
      },
    ],
    ['GET', results('bob'), undefined, { ANN: 403, UNLIMITED: 200 }],
    ['GET', 'datasets/other', undefined, { ANN: 403, LISTS: 403, READ: 200 }],
    ['GET', 'datasets/constructor', undefined, { ANN: 403, NOTHING: 403, READ: 404 }],
    ['PUT', 'datasets/sales', definition(), { MASTER: 200, READ: 401, WRITE: 401, UNLIMITED: 401 }],
    ['DELETE', 'datasets/sales', undefined, { READ: 401, WRITE: 401, UNLIMITED: 401, NOBODY: 401 }],
    [...bulk('ann').slice(0, 2), bulk('ann')[2], { ANN: 200, READ: 200, MISSPELT: 403 }],
    [...bulk('ann').slice(0, 2), bulk('ann', 'bob')[2], { ANN: 403, READ: 200 }],
  ] as [Method, string, unknown, Record<string, number>][]
  test.each(
    cases.flatMap(([m, path, body, by]) => Object.entries(by).map(([key, s]) => [m, path, key, s, body] as const)),
  )('%s %s with %s: %i', async (method, path, key, status, body) => {
    expect((await api.call(method, path, key, body)).status).toBe(status)
  })

  test('a listing hides what the key may not see', async () => {
    expect((await api.call('GET', 'datasets', 'ANN')).body).toMatchObject({ count: 1, next_page_url: null })
    expect((await api.call('GET', 'datasets', 'NOTHING')).body).toMatchObject({ count: 0, datasets: [] })
  })

  test('a key that sees one user’s rows when it asks sees no others through a dataset', async () => {
    expect(counts(await api.call('GET', results('ann'), 'FILTERED'))).toEqual([0, 0])
  })
})

test.each([
  ['display_name', { ...definition(), display_name: undefined }],
  ['display_name', { ...definition(), display_name: 7 }],
  ['index_by', { ...definition(), index_by: undefined }],
  ['index_by', definition({}, [])],
  ['index_by', definition({}, ['a', 'b', 'c', 'd'])],
  ['index_by', definition({}, ['a', 'a'])],
  ['index_by', definition({}, [7])],
  ['index_by', definition({ group_by: 'user' })],
  ['query', { ...definition(), query: undefined }],
  ['query', { ...definition(), query: [] }],
  ['analysis_type', definition({ analysis_type: 'funnel' })],
  ['analysis_type', definition({ analysis_type: 'extraction' })],
  ['analysis_type', definition({ analysis_type: undefined })],
  ['event_collection', definition({ event_collection: undefined })],
  ['timeframe', definition({ timeframe: undefined })],
  ['timeframe', definition({ timeframe: { start: '2026-01-01', end: '2026-01-02' } })],
  ['interval', definition({ interval: undefined })],
  ['interval', definition({ interval: 'minutely', timeframe: 'this_30_days' })],
  ['filters', definition({ filters: 'x' })],
  ['target_property', definition({ analysis_type: 'sum' })],
  ['order_by', definition({ order_by: 'x' })],
  ['timezone', definition({ timezone: 'Mars' })],
])('a definition with a wrong %s is refused by its name', async (field, body) => {
  const answer = await api.call('PUT', 'datasets/bad', 'MASTER', body)
  expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(field)])
})

test.each([
  ['index_by', 'timeframe=today'],
  ['index_by', 'timeframe=today&index_by={'],
  ['index_by', 'timeframe=today&index_by=["a","b"]'],
  ['index_by', 'timeframe=today&index_by={"plan":"a"}'],
  ['index_by', 'timeframe=today&index_by=[null]'],
  ['timeframe', 'index_by=ann'],
  ['timeframe', 'index_by=ann&timeframe=this_31_days'],
  ['timeframe', 'index_by=ann&timeframe=this_3_hours'],
  ['timeframe', 'index_by=ann&timeframe={"start":"2026-03-30T01:00Z","end":"2026-03-31T00:00Z"}'],
  ['zero_fill', 'index_by=ann&timeframe=today&zero_fill=7'],
])('a read with a wrong %s is refused by its name: %s', async (field, parameters) => {
  const answer = await api.call('GET', `datasets/sales/results?${encodeURI(parameters)}`, 'READ')
  expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(field)])
})

test('a bulk read is bounded, and a page too', async () => {
  const many = { index_by: Array.from({ length: 21 }, String), timeframe: 'today' }
  expect((await api.call('POST', 'datasets/sales/results', 'READ', many)).status).toBe(400)
  expect((await api.call('POST', 'datasets/sales/results', 'READ', { ...many, index_by: 'ann' })).status).toBe(400)
  expect((await api.call('GET', 'datasets?limit=101', 'READ')).status).toBe(400)
})
