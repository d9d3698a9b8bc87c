import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseQuery } from '../../services/query/language/parse.ts'
import { createResultCache } from '../../services/query/result-cache.ts'
import type { Grant } from '../../services/shared/registry/grant.ts'
import { buildQueryApi } from './api.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const NOW = Date.UTC(2026, 0, 10, 12)
const TENANTS = ['1', '2', '3'] as const
const of = (operator: string, value: unknown) => [{ property_name: 'tenant', operator, property_value: value }]

/** Keys whose rows differ in every way that a careless cache key could overlook, and some that see the same ones. */
const KEYS: Readonly<Record<string, Grant>> = {
  all: grantFor(P, undefined, 'read'),
  everything: grantFor(P, []),
  text: grantFor(P, of('eq', '1')),
  textToo: { ...grantFor(P, of('eq', '1')), keyId: 'another' },
  number: grantFor(P, of('eq', 1)),
  not: grantFor(P, of('ne', '1')),
  two: grantFor(P, of('in', ['1', '2'])),
  swapped: grantFor(P, of('in', ['2', '3'])),
  both: grantFor(P, [...of('ne', '1'), ...of('ne', '2')]),
  either: grantFor(P, [{ operator: 'or', operands: [...of('eq', '1'), ...of('eq', '3')] }]),
  other: grantFor('b'.repeat(24), undefined, 'read'),
}

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let api: ReturnType<typeof buildQueryApi>

const events = (collection: string, first: number) =>
  Array.from({ length: 40 }, (_, i) => ({
    project: i % 4 === 3 ? 'b'.repeat(24) : P,
    collection,
    timestampMs: NOW - i,
    createdAtMs: NOW,
    id: hexId(first + i),
    body: JSON.stringify({ tenant: i % 5 === 0 ? 1 : TENANTS[i % 3], n: first + i }),
  }))

beforeAll(async () => {
  opened = await openTestWarehouse()
  api = buildQueryApi({ warehouse: opened.warehouse, keys: KEYS, nowMs: NOW })
  await store(opened.warehouse, [...events('c', 0), ...events('d', 1_000)])
})
afterAll(async () => {
  await api.app.close()
  await opened.close()
})

const ask = async (key: string, analysis: string, fields: object) => {
  const project = KEYS[key]?.projectId ?? P
  const answer = await api.app.inject({
    method: 'POST',
    url: `/3.0/projects/${project}/queries/${analysis}?api_key=${key}`,
    payload: JSON.stringify({ event_collection: 'c', timeframe: 'today', ...fields }),
  })
  return answer.json<{ result: unknown; execution_metadata?: { events_scanned: number } }>()
}

test('no key is ever given what another one’s rows gave', async () => {
  const question = fc.record({
    key: fc.constantFrom(...Object.keys(KEYS)),
    analysis: fc.constantFrom('count', 'sum', 'select_unique'),
    fields: fc.record(
      {
        event_collection: fc.constantFrom('c', 'd'),
        group_by: fc.constant('tenant'),
        filters: fc.constantFrom(of('eq', '1'), of('eq', 1), of('ne', '2')),
        interval: fc.constant('hourly'),
      },
      { requiredKeys: ['event_collection'] },
    ),
  })
  let hits = 0
  await fc.assert(
    fc.asyncProperty(question, async ({ key, analysis, fields }) => {
      const asked = { ...fields, target_property: 'n', include_metadata: true }
      const reused = await ask(key, analysis, { ...asked, max_age: 3_600 })
      const anew = await ask(key, analysis, asked)
      expect(reused.result).toEqual(anew.result)
      if (reused.execution_metadata?.events_scanned === 0) hits++
    }),
    { numRuns: 600 },
  )
  expect(hits).toBeGreaterThan(20)
}, 120_000)

test('keys that see the same rows share results, and a result that was reused scanned nothing', async () => {
  const fields = { include_metadata: true, max_age: 100, filters: of('ne', 'nobody') }
  expect((await ask('text', 'count', fields)).execution_metadata?.events_scanned).toBeGreaterThan(0)
  const { result, execution_metadata } = await ask('textToo', 'count', { ...fields, max_age: 50 })
  expect(execution_metadata).toMatchObject({ events_scanned: 0, total_properties_scanned: 0 })
  expect(result).toEqual((await ask('text', 'count', { filters: fields.filters })).result)
  for (const max_age of [undefined, null, 0, 30]) {
    const { execution_metadata: read } = await ask('text', 'count', { ...fields, max_age })
    expect(read?.events_scanned).toBeGreaterThan(0)
  }
})

const grant = grantFor(P)
const asks = (maxAge: number, collection = 'c') =>
  parseQuery('count', { event_collection: collection, timeframe: 'today', max_age: maxAge })

test('a result is never reused past the age that the query names, counted from when it was asked', () => {
  let now = 0
  const cache = createResultCache(1_000_000, () => now)
  const keep = cache.asking(asks(60), grant)
  now = 10_000
  keep(7)
  now = 60_000
  expect(cache.get(asks(60), grant)).toEqual({ result: 7 })
  now = 60_001
  expect(cache.get(asks(60), grant)).toBeUndefined()
  expect(cache.get(asks(90), grant)).toEqual({ result: 7 })
})

test('what is forgotten is gone, also when it was on its way', () => {
  const cache = createResultCache(1_000_000)
  const store = (collection: string, project = P) => cache.asking(asks(60, collection), grantFor(project))(collection)
  const has = (collection: string, project = P) => cache.get(asks(60, collection), grantFor(project)) !== undefined
  const other = 'b'.repeat(24)
  store('c')
  store('d')
  store('c', other)
  const onItsWay = cache.asking(asks(60, 'e'), grant)
  cache.forget(P, 'c')
  onItsWay('old')
  expect([has('c'), has('d'), has('e'), has('c', other)]).toEqual([false, true, false, true])
  cache.forget(P)
  expect([has('d'), has('c', other)]).toEqual([false, true])
})

test('a funnel is forgotten with any of the collections of its steps', () => {
  const cache = createResultCache(1_000_000)
  const step = (collection: string) => ({ event_collection: collection, actor_property: 'n', timeframe: 'today' })
  const funnel = parseQuery('funnel', { steps: [step('c'), step('d')], max_age: 60 })
  cache.asking(funnel, grant)([2, 1])
  cache.forget(P, 'e')
  expect(cache.get(funnel, grant)).toEqual({ result: [2, 1] })
  cache.forget(P, 'd')
  expect(cache.get(funnel, grant)).toBeUndefined()
})

test('memory is bounded: the longest unused go first, and what is too large is not kept', () => {
  const cache = createResultCache(100_000)
  for (let i = 0; i < 100; i++) cache.asking(asks(60, `c${i}`), grant)('x'.repeat(1_000))
  expect(cache.bytes).toBeLessThanOrEqual(100_000)
  expect(cache.get(asks(60, 'c0'), grant)).toBeUndefined()
  expect(cache.get(asks(60, 'c99'), grant)).toBeDefined()
  cache.asking(asks(60, 'large'), grant)('x'.repeat(50_000))
  expect(cache.get(asks(60, 'large'), grant)).toBeUndefined()
})
