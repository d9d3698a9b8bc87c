import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseQuery } from '../../services/query/language/parse.ts'
import { ask } from './ask.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const EVENTS = 100_000
const UNIQUE = 80_000
let opened: Awaited<ReturnType<typeof openTestWarehouse>>

beforeAll(async () => {
  opened = await openTestWarehouse()
  const event = (i: number) => ({
    project: P,
    collection: 'c',
    timestampMs: i,
    createdAtMs: 0,
    id: hexId(i),
    body: JSON.stringify({ who: `u${i % UNIQUE}`, n: (i * 7_919) % EVENTS, half: i % 2 }),
  })
  await store(
    opened.warehouse,
    Array.from({ length: EVENTS }, (_, i) => event(i)),
  )
})
afterAll(async () => opened.close())

const fields = { event_collection: 'c', timeframe: { start: '1970-01-01', end: '1970-01-02' }, approximate: true }

test.each([
  ['count_unique', { target_property: 'who' }, UNIQUE],
  ['median', { target_property: 'n' }, EVENTS / 2],
  ['percentile', { target_property: 'n', percentile: 90 }, EVENTS * 0.9],
] as const)('%s is near when an estimate will do', async (analysis, more, exact) => {
  const estimated = await ask(opened.warehouse, grantFor(P), analysis, { ...fields, ...more }, 0)
  expect(Math.abs(Number(estimated) / exact - 1)).toBeLessThan(0.02)
  const groups = (await ask(opened.warehouse, grantFor(P), analysis, { ...fields, ...more, group_by: 'half' }, 0)) as {
    result: number
  }[]
  const wanted = analysis === 'count_unique' ? exact / 2 : exact
  for (const { result } of groups) expect(Math.abs(result / wanted - 1)).toBeLessThan(0.02)
})

test('without it, or with false, nothing is estimated', async () => {
  for (const approximate of [false, null, '', undefined]) {
    const asked = { ...fields, approximate, target_property: 'who' }
    expect(await ask(opened.warehouse, grantFor(P), 'count_unique', asked, 0)).toBe(UNIQUE)
  }
  expect(() => parseQuery('median', { ...fields, target_property: 'n', approximate: 'yes' })).toThrow('approximate')
  expect(() => parseQuery('median', { ...fields, target_property: 'n', max_age: -1 })).toThrow('max_age')
})
