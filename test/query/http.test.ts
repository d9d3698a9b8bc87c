import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReadRequest, ReadResult, Warehouse } from '../../services/shared/warehouse/port.ts'
import { buildQueryApi, SETTINGS } from './api.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const NOW = Date.UTC(2026, 0, 10, 12)
const KEYS = {
  READ: grantFor(P, undefined, 'read'),
  NARROW: grantFor(P, [{ property_name: 'user', operator: 'eq', property_value: 'ted' }]),
  WRITE: { ...grantFor(P), permitted: new Set() } as ReturnType<typeof grantFor>,
}

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let api: ReturnType<typeof buildQueryApi>

beforeAll(async () => {
  opened = await openTestWarehouse()
  api = buildQueryApi({ warehouse: opened.warehouse, keys: KEYS, nowMs: NOW })
  const events = [
    { user: 'bob', price: 10 },
    { user: 'ted', price: 20 },
    { user: 'ted', price: 9007199254740993n },
  ]
  await store(
    opened.warehouse,
    events.map((event, i) => ({
      project: P,
      collection: 'User posts.new',
      timestampMs: NOW - i * 3_600_000,
      createdAtMs: NOW,
      id: hexId(i),
      body: JSON.stringify(event, (_, v: unknown) => (typeof v === 'bigint' ? Number(v) : v)).replace(
        '9007199254740992',
        '9007199254740993',
      ),
    })),
  )
})

afterAll(async () => {
  await api.app.close()
  await opened.close()
})

const COLLECTION = 'User posts.new'
const get = async (analysis: string, parameters: Record<string, string>, key = 'READ') =>
  api.app.inject({
    url: `/3.0/projects/${P}/queries/${analysis}?${new URLSearchParams(parameters).toString()}`,
    headers: { authorization: key },
  })
const post = async (analysis: string, body: unknown, key = 'READ') =>
  api.app.inject({
    method: 'POST',
    url: `/3.0/projects/${P}/queries/${analysis}?api_key=${key}`,
    payload: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'text/plain' },
  })

describe('a GET', () => {
  test('takes values bare, as JSON, and as JSON in quotes', async () => {
    for (const collection of [COLLECTION, JSON.stringify(COLLECTION)]) {
      for (const timeframe of [
        'this_2_days',
        '"this_2_days"',
        '{"start":"2026-01-10T00:00:00Z","end":"2026-01-11T00:00Z"}',
      ]) {
        const answer = await get('count', { event_collection: collection, timeframe, interval: '', filters: 'null' })
        expect(answer.json()).toEqual({ result: 3 })
      }
    }
  })

  test('takes a timeframe in brackets, and of two values the last', async () => {
    const url = `/3.0/projects/${P}/queries/count?api_key=READ&event_collection=${encodeURIComponent(COLLECTION)}`
    const bracket = `${url}&timeframe[start]=2026-01-10T11:30:00Z&timeframe%5Bend%5D=2026-01-11`
    expect((await api.app.inject(bracket)).json()).toEqual({ result: 1 })
    const twice = `${url}&timeframe=nonsense&timeframe=this_1_day`
    expect((await api.app.inject(twice)).json()).toEqual({ result: 3 })
  })

  test('takes one name, a list or an object in group_by, and numbers in every spelling', async () => {
    const common = { event_collection: COLLECTION, timeframe: 'today' }
    for (const group_by of ['user', '["user"]', '"user"', '[\n "user"\n]']) {
      const { result } = (
        await get('count', { ...common, group_by, order_by: '{"property_name":"result"}', limit: '1' })
      ).json()
      expect(result).toEqual([{ user: 'bob', result: 1 }])
    }
    for (const percentile of ['100', '"100"', '100.0', '1e2']) {
      const answer = await get('percentile', {
        ...common,
        target_property: 'price',
        percentile,
        filters: '[{"property_name":"price","operator":"lt","property_value":100}]',
      })
      expect(answer.json()).toEqual({ result: 20 })
    }
  })

  test('answers a script when asked with jsonp', async () => {
    const answer = await get('count', { event_collection: COLLECTION, timeframe: 'today', jsonp: 'keenJSONPCallback1' })
    expect(answer.headers['content-type']).toContain('javascript')
    expect(answer.body).toContain('keenJSONPCallback1({"result":3})')
  })
})

describe('a POST', () => {
  test('ignores what it does not know, takes null for absent, and gives whole numbers with all their digits', async () => {
    const answer = await post('select_unique', {
      analysis_type: 'select_unique',
      event_collection: COLLECTION,
      timeframe: 'today',
      target_property: 'price',
      timezone: -28_800,
      filters: null,
      group_by: null,
      interval: null,
      max_age: null,
      order_by: null,
      name: 'x',
    })
    expect(answer.body).toBe('{"result":[10,20,9007199254740993]}')
  })

  test('tells what was read when asked for metadata', async () => {
    const answer = await post('sum', {
      event_collection: COLLECTION,
      timeframe: 'today',
      target_property: 'price',
      filters: [{ property_name: 'user', operator: 'eq', property_value: 'bob' }],
      include_metadata: true,
    })
    expect(answer.json()).toEqual({
      result: 10,
      execution_metadata: {
        events_scanned: 3,
        properties_per_event: 2,
        total_properties_scanned: 6,
        total_processing_time: expect.any(Number),
      },
    })
  })

  test('gives events nested, oldest first, with what the server knows under keen', async () => {
    const { result } = (
      await post('extraction', { event_collection: COLLECTION, timeframe: 'today', latest: 1 })
    ).json()
    const keen = { timestamp: '2026-01-10T12:00:00.000Z', created_at: '2026-01-10T12:00:00.000Z' }
    expect(result).toEqual([{ user: 'bob', price: 10, keen: { ...keen, id: '0192f0c0-a1b2-7c3d-8e4f-000000000000' } }])
  })
})

test('an access key sees its rows alone, whatever its query asks for', async () => {
  const query = { event_collection: COLLECTION, timeframe: 'today' }
  expect((await post('count', query, 'NARROW')).json()).toEqual({ result: 2 })
  const all = {
    ...query,
    filters: [
      {
        operator: 'or',
        operands: [
          { property_name: 'user', operator: 'exists', property_value: true },
          { property_name: 'user', operator: 'ne', property_value: 'ted' },
        ],
      },
    ],
  }
  expect((await post('count', all, 'NARROW')).json()).toEqual({ result: 2 })
  expect((await post('select_unique', { ...query, target_property: 'user' }, 'NARROW')).json()).toEqual({
    result: ['ted'],
  })
})

test.each([
  ['no key', 'count', {}, '', 401, 'InvalidApiKeyError'],
  ['a key that does not permit queries', 'count', {}, 'WRITE', 403, 'KeyNotAuthorizedError'],
  ['an analysis that is not there', 'mode', {}, 'READ', 404, 'ResourceNotFoundError'],
  [
    'a collection that is not there',
    'count',
    { event_collection: 'nothing', timeframe: 'today' },
    'READ',
    404,
    'ResourceNotFoundError',
  ],
  ['no collection', 'count', { timeframe: 'today' }, 'READ', 400, 'MissingRequiredRequestFieldError'],
  ['no timeframe', 'count', { event_collection: COLLECTION }, 'READ', 400, 'MissingRequiredRequestFieldError'],
  [
    'no target',
    'sum',
    { event_collection: COLLECTION, timeframe: 'today' },
    'READ',
    400,
    'MissingRequiredRequestFieldError',
  ],
  ['broken JSON', 'count', '{', 'READ', 400, 'InvalidJSONError'],
  ['a list', 'count', '[]', 'READ', 400, 'InvalidRequestError'],
  [
    'a pattern that is none',
    'count',
    {
      event_collection: COLLECTION,
      timeframe: 'today',
      filters: [{ property_name: 'user', operator: 'regex', property_value: '((' }],
    },
    'READ',
    400,
    'InvalidFilterError',
  ],
])('%s is refused by name', async (_, analysis, body, key, status, code) => {
  const answer = await post(analysis, body, key)
  expect([answer.statusCode, answer.json().error_code]).toEqual([status, code])
})

test('the list of analyses links to each of them', async () => {
  const answer = await api.app.inject({ url: `/3.0/projects/${P}/queries`, headers: { authorization: 'READ' } })
  const links = answer.json<Record<string, string>>()
  expect(links['count_url']).toBe(`/3.0/projects/${P}/queries/count`)
  for (const link of Object.values(links)) {
    const reached = await api.app.inject({ url: link, headers: { authorization: 'READ' } })
    expect(reached.json().error_code).toBe('MissingRequiredRequestFieldError')
  }
})

test('limits of the warehouse are told by name: too many rows, too many events for one answer, too slow', async () => {
  const query = { event_collection: COLLECTION, timeframe: 'today' }
  const under = (limits: Partial<(typeof SETTINGS)['limits']['read']>) =>
    buildQueryApi({
      warehouse: opened.warehouse,
      keys: KEYS,
      nowMs: NOW,
      settings: { ...SETTINGS, limits: { ...SETTINGS.limits, read: { ...SETTINGS.limits.read, ...limits } } },
    }).app
  const ask = async (app: ReturnType<typeof under>, analysis: string, body: object) =>
    (
      await app.inject({
        method: 'POST',
        url: `/3.0/projects/${P}/queries/${analysis}?api_key=READ`,
        payload: JSON.stringify(body),
      })
    ).json()
  expect(await ask(under({ rowsToRead: 1 }), 'sum', { ...query, target_property: 'price' })).toMatchObject({
    error_code: 'QueryTooLargeError',
  })
  expect(await ask(under({ rowsToRead: 1 }), 'extraction', query)).toMatchObject({
    error_code: 'ExtractionTooLargeError',
  })
  expect(await ask(under({}), 'extraction', { ...query, latest: 100_001 })).toMatchObject({
    error_code: 'ExtractionTooLargeError',
  })
})

/** A warehouse that answers when told to. */
function heldWarehouse() {
  const started: (() => void)[] = []
  const reads: { readonly request: ReadRequest; readonly answer: (rows: unknown[][]) => void }[] = []
  const warehouse: Warehouse = {
    ...opened.warehouse,
    kind: 'chdb',
    read: async (request) => {
      const { promise, resolve, reject } = Promise.withResolvers<ReadResult>()
      request.signal.addEventListener('abort', () => reject(new Error('stopped')))
      reads.push({ request, answer: (rows) => resolve({ columns: [], rows, rowsRead: 0, bytesRead: 0, elapsedS: 0 }) })
      started.shift()?.()
      return promise
    },
  }
  const next = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    started.push(resolve)
    await promise
  }
  return { warehouse, reads, next }
}

test('a query too many is refused with 429 and a time to come back, and the others get their turn', async () => {
  const held = heldWarehouse()
  const { app } = buildQueryApi({
    warehouse: held.warehouse,
    keys: KEYS,
    nowMs: NOW,
    settings: { ...SETTINGS, runningMax: 1, perProjectMax: 2 },
  })
  const url = `/3.0/projects/${P}/queries/count?api_key=READ&event_collection=x&timeframe=today`
  const begun = held.next()
  // Injected requests begin when they are waited for.
  const first = app.inject(url).then((answer) => answer)
  await begun
  const second = app.inject(url).then((answer) => answer)
  const third = await app.inject(url)
  expect([third.statusCode, third.json().error_code, third.headers['retry-after']]).toEqual([
    429,
    'QueryConcurrencyLimitError',
    '1',
  ])
  for (let answered = 0; answered < 3; answered++) {
    const more = held.next()
    held.reads.at(-1)?.answer([[1]])
    if (answered < 2) await more
  }
  expect((await first).statusCode).toBe(200)
  held.reads.at(-1)?.answer([[1]])
  expect((await second).statusCode).toBe(200)
})

test('a query whose caller goes away is stopped in the warehouse', async () => {
  const held = heldWarehouse()
  const { app, metrics } = buildQueryApi({ warehouse: held.warehouse, keys: KEYS, nowMs: NOW })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const caller = new AbortController()
  const begun = held.next()
  const asked = fetch(`${address}/3.0/projects/${P}/queries/count?api_key=READ&event_collection=x&timeframe=today`, {
    signal: caller.signal,
  }).catch((error: unknown) => error)
  await begun
  const signal = held.reads[0]?.request.signal
  const stopped = new Promise((resolve) => signal?.addEventListener('abort', resolve))
  caller.abort()
  await stopped
  await asked
  await expect
    .poll(async () => metrics.getSingleMetricAsString('query_requests_total'))
    .toContain('outcome="aborted"} 1')
  await app.close()
})
