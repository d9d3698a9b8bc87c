import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { carryOut } from '../../services/query/deletions/carry-out.ts'
import { deletionOf } from '../../services/shared/deletions/model.ts'
import type { Grant } from '../../services/shared/registry/grant.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { buildQueryApi, SETTINGS } from './api.ts'
import { grantFor, hexId, never, openTestWarehouse, store } from './stored-events.ts'

const T0 = Date.UTC(2026, 0, 10)
const NOW = T0 + 1_000_000
const ALL = { start: '2020-01-01T00:00:00Z', end: '2030-01-01T00:00:00Z' }
const P = 'p1'

let warehouse: Warehouse
let close: () => Promise<void>
let n = 0
const { definitions, deletions } = memoryDefinitions(() => NOW)
const of = (collection: string) => deletions.of(P, collection)
const keys: Record<string, Grant> = {
  master: grantFor(P, undefined, 'master', of),
  read: grantFor(P, undefined, 'read', of),
  write: grantFor(P, undefined, 'write', of),
  access: grantFor(P, [], 'access', of),
}
let api: ReturnType<typeof buildQueryApi>

beforeAll(async () => {
  ;({ warehouse, close } = await openTestWarehouse())
  api = buildQueryApi({ warehouse, keys, nowMs: NOW, definitions })
})
afterAll(async () => {
  await api.app.close()
  await close()
})

const send = async (
  method: 'GET' | 'DELETE' | 'PUT' | 'HEAD' | 'POST',
  path: string,
  key = 'master',
  body?: unknown,
) => {
  const answer = await api.app.inject({
    method,
    url: `/3.0/projects/${P}${path}`,
    headers: { authorization: key, 'content-type': 'application/json' },
    ...(body !== undefined && { payload: JSON.stringify(body) }),
  })
  const json: unknown = answer.body === '' ? undefined : JSON.parse(answer.body)
  return { status: answer.statusCode, body: json as Record<string, unknown>, headers: answer.headers }
}
const fill = async (collection: string, bodies: readonly unknown[], createdAtMs = T0): Promise<void> =>
  store(
    warehouse,
    bodies.map((body, i) => ({
      project: P,
      collection,
      timestampMs: T0 + i * 1_000,
      createdAtMs,
      id: hexId(n++),
      body: JSON.stringify(body),
    })),
  )
const ask = async (analysis: string, collection: string, more: object = {}): Promise<unknown> =>
  (await send('POST', `/queries/${analysis}`, 'read', { event_collection: collection, timeframe: ALL, ...more })).body[
    'result'
  ]
const values = async (collection: string, property: string): Promise<unknown> =>
  ask('select_unique', collection, { target_property: property })
const stored = async (sql: string, collection: string): Promise<unknown> =>
  (
    await warehouse.read({
      sql: `SELECT ${sql} FROM events WHERE project = {p:String} AND collection = {c:String}${sql === 'count()' ? '' : ' ORDER BY id'}`,
      params: { p: P, c: collection },
      limits: { executionS: 30, rowsToRead: 0, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e9 },
      queryId: String(Math.random()),
      signal: never,
    })
  ).rows
/** What the runner does, once everything is loaded. */
const finish = async (collection: string): Promise<void> => {
  for (const { id, progress } of of(collection)) {
    if (progress.state === 'done') continue
    const definition = definitions.get('deletion', P, id)
    const deletion = definition && deletionOf(definition)
    if (!deletion) throw new Error('no deletion')
    await carryOut(warehouse, deletion, never)
    await definitions.put('deletion', P, id, { ...definition.value, state: 'done', doneAtMs: NOW })
  }
}
const filtered = (property_name: string, operator: string, property_value: unknown): string =>
  `filters=${encodeURIComponent(JSON.stringify([{ property_name, operator, property_value }]))}`

describe('schema', () => {
  test('types by path, those of keen among them; the first type that was seen leads, all are told', async () => {
    await fill('kinds', [
      { item: { id: 7, 'on sale': true, name: 'cup' }, tags: ['a'], at: '2026-01-01', nothing: null, none: {} },
    ])
    await fill('kinds', [{ item: { id: 'seven' }, keen: { location: { coordinates: [1, 2] } } }], T0 + 1)
    const { status, body } = await send('GET', '/events/kinds', 'read')
    expect(status).toBe(200)
    expect(body).toEqual({
      name: 'kinds',
      url: `/3.0/projects/${P}/events/kinds`,
      properties: {
        'keen.timestamp': 'datetime',
        'keen.created_at': 'datetime',
        'keen.id': 'string',
        at: 'string',
        'item.id': 'num',
        'item.name': 'string',
        'item.on sale': 'bool',
        tags: 'array',
        'keen.location.coordinates': 'geo',
      },
      property_types: { 'item.id': ['num', 'string'] },
    })
    expect((await send('GET', '/events/kinds/properties/item.id', 'read')).body).toEqual({
      property_name: 'item.id',
      url: `/3.0/projects/${P}/events/kinds/properties/item.id`,
      type: 'num',
      types: ['num', 'string'],
    })
  })

  test('collections by name, with and without properties, by page; one whose events are empty is one too', async () => {
    await fill('empty', [{}])
    await fill('zebra / 1', [{ a: 1 }])
    await new Promise((resolve) => setTimeout(resolve, 1_100)) // answers may be a second old
    const all = (await send('GET', '/events')).body as unknown as { name: string; url: string }[]
    expect(all.map(({ name }) => name)).toEqual(['empty', 'kinds', 'zebra / 1'])
    expect(all[2]).toMatchObject({ url: `/3.0/projects/${P}/events/zebra%20%2F%201`, properties: { a: 'num' } })
    const page = await send('GET', '/events?include_schema=false&limit=1&after_name=empty')
    expect(page.body).toEqual([{ name: 'kinds', url: `/3.0/projects/${P}/events/kinds` }])
    expect((await send('HEAD', '/events')).status).toBe(200)
    expect((await send('HEAD', '/events/kinds')).status).toBe(200)
    for (const query of ['limit=0', 'limit=x', 'include_schema=maybe']) {
      expect((await send('GET', `/events?${query}`)).status).toBe(400)
    }
  })

  test('unknown ones are 404, and keys need the permission', async () => {
    expect((await send('GET', '/events/nowhere')).status).toBe(404)
    expect((await send('GET', '/events/kinds/properties/nothing')).status).toBe(404)
    for (const path of ['/events', '/events/kinds', '/events/kinds/properties/tags']) {
      expect((await send('GET', path, 'access')).status).toBe(403)
      expect((await send('GET', path, 'write')).status).toBe(403)
    }
  })
})

describe('deletes', () => {
  test('by filter: out of every answer at once, out of the warehouse when carried out; later events stay', async () => {
    await fill('by_filter', [{ who: 'ann' }, { who: 'bob' }, { who: 'ann', x: 1 }])
    await fill('by_filter', [{ who: 'ann', late: true }], NOW + 1)
    const { status, headers } = await send('DELETE', `/events/by_filter?&${filtered('who', 'eq', 'ann')}&&api_key=x`)
    expect(status).toBe(204)
    const location = String(headers['location'])
    expect(await ask('count', 'by_filter')).toBe(2)
    expect(await ask('extraction', 'by_filter')).toMatchObject([{ who: 'ann', late: true }, { who: 'bob' }])
    expect(await stored('count()', 'by_filter')).toEqual([[4]])
    const at = location.slice(`/3.0/projects/${P}`.length)
    expect((await send('GET', at)).body).toMatchObject({ state: 'pending', matched_events: 2, kind: 'events' })
    await finish('by_filter')
    expect(await stored('body', 'by_filter')).toEqual([['{"who":"bob"}'], ['{"who":"ann","late":true}']])
    expect(await ask('count', 'by_filter')).toBe(2)
    expect((await send('GET', at)).body).toMatchObject({ state: 'done' })
    expect((await send('GET', '/deletions')).body).toMatchObject([{ state: 'done', event_collection: 'by_filter' }])
  })

  test('by timeframe, quoted or as an object', async () => {
    await fill('by_time', [{ i: 0 }, { i: 1 }, { i: 2 }, { i: 3 }])
    const frame = JSON.stringify({ start: new Date(T0 + 1_000).toISOString(), end: new Date(T0 + 3_000).toISOString() })
    expect((await send('DELETE', `/events/by_time?timeframe=${encodeURIComponent(frame)}`)).status).toBe(204)
    expect(await values('by_time', 'i')).toEqual([0, 3])
    expect((await send('DELETE', '/events/by_time?timeframe=%22previous_1_minute%22', 'master', {})).status).toBe(204)
    await finish('by_time')
    expect(await stored('properties.i', 'by_time')).toEqual([[0], [3]])
  })

  test('a property: missing at once, and the events stay as they were but for it', async () => {
    const event = {
      secret: { a: 1, b: [{ c: 2 }] },
      at: '2026-01-02',
      mixed: [true, 1],
      n: 12_345_678_901_234,
      keep: { x: null },
    }
    await fill('by_property', [event, { other: 1 }, { secret: 5 }])
    await fill('by_property', [{ secret: { a: 9 } }], NOW + 1)
    expect((await send('DELETE', '/events/by_property/properties/secret.a')).status).toBe(204)
    expect(await values('by_property', 'secret.a')).toEqual([9])
    expect(
      await ask('count', 'by_property', {
        filters: [{ property_name: 'secret.a', operator: 'exists', property_value: true }],
      }),
    ).toBe(1)
    expect(JSON.stringify(await ask('extraction', 'by_property'))).not.toContain('"a":1')
    expect(await ask('count', 'by_property')).toBe(4)
    const types = 'dynamicType(properties.at), dynamicType(properties.mixed), properties.n, properties.secret.a, body'
    await finish('by_property')
    const { a: _gone, ...secret } = event.secret
    expect(await stored(types, 'by_property')).toEqual([
      ['String', 'Array(Dynamic)', event.n, null, JSON.stringify({ ...event, secret })],
      ['None', 'None', null, null, '{"other":1}'],
      ['None', 'None', null, null, '{"secret":5}'],
      ['None', 'None', null, 9, '{"secret":{"a":9}}'],
    ])
    expect(await values('by_property', 'secret.a')).toEqual([9])
  })

  test('a property that is nowhere any more leaves the schema, with all below it', async () => {
    await fill('unlisted', [{ a: { b: 1, c: 2 }, ab: 3 }])
    expect((await send('DELETE', '/events/unlisted/properties/a')).status).toBe(204)
    const listed = async () => Object.keys((await send('GET', '/events/unlisted')).body['properties'] as object)
    expect(await listed()).toEqual(['keen.timestamp', 'keen.created_at', 'keen.id', 'ab'])
    await finish('unlisted')
    expect(await listed()).toEqual(['keen.timestamp', 'keen.created_at', 'keen.id', 'ab'])
    for (const path of ['keen.timestamp', 'keen', 'keen.location.coordinates']) {
      expect((await send('DELETE', `/events/unlisted/properties/${path}`)).status).toBe(403)
    }
  })

  test('deletions of one collection act in their order', async () => {
    await fill('ordered', [
      { who: 'ann', v: 1 },
      { who: 'bob', v: 2 },
    ])
    expect((await send('DELETE', `/events/ordered?${filtered('who', 'eq', 'ann')}`)).status).toBe(204)
    expect((await send('DELETE', '/events/ordered/properties/who')).status).toBe(204)
    expect((await send('DELETE', `/events/ordered?${filtered('who', 'eq', 'bob')}`)).status).toBe(204)
    expect(await values('ordered', 'v')).toEqual([2])
    await finish('ordered')
    expect(await stored('body', 'ordered')).toEqual([['{"v":2}']])
  })

  test('a whole collection: gone with its schema', async () => {
    await fill('doomed', [{ a: 1 }, { a: 2 }])
    expect((await send('DELETE', '/events/doomed', 'master', {})).status).toBe(204)
    expect((await send('GET', '/events/doomed')).status).toBe(404)
    expect(await ask('count', 'doomed')).toBe(0)
    await finish('doomed')
    expect(await stored('count()', 'doomed')).toEqual([[0]])
    expect((await send('GET', '/events/doomed')).status).toBe(404)
  })

  test('what is not understood deletes nothing', async () => {
    await fill('safe', [{ a: 1 }])
    const wrong = [
      'filters=%7B',
      'filters=',
      'filters=null',
      'filters=%22x%22',
      'filters=%5B%7B%22operator%22%3A%22no%22%7D%5D',
      'timeframe=soon',
      'timeframe=',
      'timeframe=null',
      'timezone=Mars',
      'timeframe=this_2_days&timezone=Mars',
      'filter=%5B%5D',
      'timeframe=this_1_day&timeframe=this_2_days',
      filtered('a', 'regex', '('),
    ]
    for (const query of wrong) {
      const { status, body } = await send('DELETE', `/events/safe?${query}`)
      expect({ query, status }).toEqual({ query, status: 400 })
      expect(body).toHaveProperty('error_code')
    }
    for (const body of [{ filters: [] }, { timeframe: 'this_1_day' }, { timezone: 'UTC' }]) {
      expect((await send('DELETE', '/events/safe', 'master', body)).status).toBe(400)
    }
    expect(
      (await send('DELETE', `/events/safe?${filtered('a', 'eq', 2)}`, 'master', { timeframe: 'today' })).status,
    ).toBe(400)
    expect(of('safe')).toEqual([])
    expect(await ask('count', 'safe')).toBe(1)
  })

  test('the master key alone deletes, and sees deletions', async () => {
    for (const key of ['read', 'write', 'access']) {
      for (const [method, path] of [
        ['DELETE', '/events/safe'],
        ['DELETE', '/events/safe/properties/a'],
        ['PUT', '/events/safe'],
        ['GET', '/deletions'],
        ['GET', '/deletions/x'],
      ] as const) {
        expect(await send(method, path, key)).toMatchObject({
          status: 401,
          body: { error_code: 'AdminOnlyEndpointError' },
        })
      }
    }
    expect((await send('PUT', '/events/safe', 'master', {})).status).toBe(403)
    expect((await send('GET', '/deletions/none')).status).toBe(404)
    expect(of('safe')).toEqual([])
  })

  test('so many at a time in one collection', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 21; i++) statuses.push((await send('DELETE', `/events/many?${filtered('a', 'eq', i)}`)).status)
    expect(statuses).toEqual([...Array<number>(20).fill(204), 429])
    expect(await ask('count', 'safe')).toBe(1)
  })
})

test('past the number that is remembered of a project, a deletion is refused and nothing is deleted', async () => {
  await fill('bounded', [{ a: 1 }])
  const deletionsMax = definitions.list('deletion', P).length + 1
  const { app } = buildQueryApi({ warehouse, keys, nowMs: NOW, definitions, settings: { ...SETTINGS, deletionsMax } })
  const url = `/3.0/projects/${P}/events/bounded?filters=${encodeURIComponent(JSON.stringify([{ property_name: 'a', operator: 'eq', property_value: 2 }]))}`
  const remove = async () => app.inject({ method: 'DELETE', url, headers: { authorization: 'master' } })
  expect((await remove()).statusCode).toBe(204)
  const refused = await remove()
  expect([refused.statusCode, refused.json<{ message: string }>().message]).toEqual([
    400,
    `The project has ${deletionsMax} deletions that are remembered, as many as it may.`,
  ])
  expect(await ask('count', 'bounded')).toBe(1)
  await app.close()
})
