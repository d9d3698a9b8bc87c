import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask } from './ask.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
/** Texts that look like the form in which rows are brought together, beside the values that they look like. */
const SCALARS = [
  '\u0001',
  '\u0001[',
  "\u0001['x']",
  '\u0001[]',
  '\u00015',
  '\u0001true',
  '',
  'null',
  '[]',
  "['x']",
  '5',
  5,
  '1.5',
  1.5,
  'true',
  true,
  -1,
  '\\',
  "'",
  'a\nb',
  '18446744073709551615',
]
const LISTS = [['\u0001', 'x'], ["it's", '\\', 5], [], [null, 'x', 'x'], [true, 1.5], ["\u0001['x']"]]
let opened: Awaited<ReturnType<typeof openTestWarehouse>>

const textOf = (value: unknown): string => JSON.stringify(value)

beforeAll(async () => {
  opened = await openTestWarehouse()
  const values: unknown[] = [...SCALARS, ...LISTS, undefined, null]
  await store(
    opened.warehouse,
    values.map((v, i) => ({
      project: P,
      collection: 'c',
      timestampMs: i,
      createdAtMs: 0,
      id: hexId(i),
      body: textOf({ v }),
    })),
  )
})
afterAll(async () => opened.close())

const fields = { event_collection: 'c', timeframe: { start: '1970-01-01', end: '1970-01-02' } }

/** How many events each value has, a list counting once for each of its different ones. */
function counted(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  const rows: unknown[][] = [...SCALARS.map((value) => [value]), ...LISTS, [null], [null]]
  for (const row of rows) {
    const different = new Set(row.filter((value) => value !== null).map(textOf))
    for (const key of different.size === 0 ? ['null'] : different) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

test('each value is a group of its own, whatever it looks like', async () => {
  const groups = (await ask(opened.warehouse, grantFor(P), 'count', { ...fields, group_by: 'v' }, 0)) as {
    v: unknown
    result: number
  }[]
  expect(new Map(groups.map(({ v, result }) => [textOf(v), result]))).toEqual(counted())
  expect(groups).toHaveLength(counted().size)
})

test('each value is listed once, whatever it looks like', async () => {
  const wanted = [...counted().keys()].filter((key) => key !== 'null').toSorted()
  for (const more of [{}, { interval: 'daily' }]) {
    const result = await ask(
      opened.warehouse,
      grantFor(P),
      'select_unique',
      { ...fields, ...more, target_property: 'v' },
      0,
    )
    const values = 'interval' in more ? (result as { value: unknown[] }[])[0]?.value : (result as unknown[])
    expect(values?.map(textOf).toSorted()).toEqual(wanted)
  }
  const unique = await ask(opened.warehouse, grantFor(P), 'count_unique', { ...fields, target_property: 'v' }, 0)
  expect(unique).toBe(wanted.length)
})
