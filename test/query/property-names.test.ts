import { afterAll, beforeAll, expect, test } from 'vitest'
import { quoteName } from '../../services/query/language/quote.ts'
import { ask } from './ask.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

/** Names that mean something in SQL, in ClickHouse's sub-columns, in its parameters, or in JavaScript; all are just names here. */
const NAMES = [
  'plain',
  'with blank',
  "it's",
  'quo"te',
  'back`tick',
  '`',
  '``',
  'a``b',
  'back\\slash',
  'ends\\',
  '\\`',
  "\\'",
  'nul\0byte',
  '\0',
  'new\nline',
  '\t',
  '^caret',
  '^',
  ':Int64',
  ':`Int64`',
  ':`Array(Dynamic)`',
  'list[]',
  '[]',
  '',
  'size0',
  'null',
  '{p0:String}',
  '{p0:Identifier}',
  '?',
  '-- ',
  '/*',
  '*/',
  ';',
  "') OR 1=1 --",
  '`) FROM system` --',
  'é☃😀',
  '\u202e',
  '%41',
  '$x',
  '@',
  '__proto__',
  'constructor',
  'toString',
  'x'.repeat(256),
]

const PROJECT = 'd'.repeat(24)
const OTHER = 'e'.repeat(24)
let opened: Awaited<ReturnType<typeof openTestWarehouse>>

beforeAll(async () => {
  opened = await openTestWarehouse()
  const filler = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`filler${i}`, i]))
  const event = (project: string, i: number, body: string) => ({
    project,
    collection: 'c',
    timestampMs: i,
    createdAtMs: 0,
    id: hexId(i),
    body,
  })
  const bodyOf = (name: string, i: number): string =>
    `{${JSON.stringify(name)}:${i + 1},"in":{${JSON.stringify(name)}:{"er":"v${i}"}}}`
  const events = NAMES.map((name, i) => event(PROJECT, i, bodyOf(name, i)))
  // In one part the names have columns of their own, in the other all are in the shared data.
  await store(opened.warehouse, events.slice(0, 30))
  await store(opened.warehouse, [event('0'.repeat(24), 0, JSON.stringify(filler)), ...events.slice(30)])
  await store(opened.warehouse, [event(OTHER, 0, '{"plain":1}')])
})
afterAll(async () => {
  await opened.close()
})

const query = { event_collection: 'c', timeframe: { start: '1970-01-01', end: '1970-01-02' } }

test.each(NAMES.map((name, i) => [name, i] as const))(
  'a property called %j is found, and nothing else is',
  async (name, i) => {
    const grant = grantFor(PROJECT)
    if (name !== '') {
      expect(await ask(opened.warehouse, grant, 'select_unique', { ...query, target_property: name }, 0)).toEqual([
        i + 1,
      ])
      expect(
        await ask(
          opened.warehouse,
          grant,
          'extraction',
          {
            ...query,
            property_names: [name],
            filters: [{ property_name: name, operator: 'exists', property_value: true }],
          },
          0,
        ),
      ).toHaveLength(1)
      const key = grantFor(PROJECT, [{ property_name: name, operator: 'eq', property_value: i + 1 }])
      expect(await ask(opened.warehouse, key, 'count', query, 0)).toBe(1)
    }
    const inner = `in.${name}.er`
    expect(await ask(opened.warehouse, grant, 'select_unique', { ...query, target_property: inner }, 0)).toEqual([
      `v${i}`,
    ])
    const groups = await ask(
      opened.warehouse,
      grant,
      'count',
      { ...query, group_by: inner, filters: [{ property_name: inner, operator: 'ne', property_value: null }] },
      0,
    )
    expect(groups).toEqual([{ [inner]: `v${i}`, result: 1 }])
  },
)

test('texts that look like SQL are values: they match themselves and read no other project', async () => {
  for (const text of NAMES) {
    for (const operator of ['eq', 'contains', 'gt', 'lt'] as const) {
      const key = grantFor(PROJECT, [{ property_name: 'plain', operator, property_value: text }])
      expect(await ask(opened.warehouse, key, 'count', query, 0)).toBe(0)
    }
  }
})

test('whatever a name holds, the quoted one ends where it ends', () => {
  for (const name of NAMES) {
    const quoted = quoteName(name)
    const inside = quoted.slice(1, -1).replaceAll(/\\[\s\S]/g, '')
    expect(quoted.startsWith('`') && quoted.endsWith('`')).toBe(true)
    expect(inside).not.toMatch(/[`\\\0]/)
  }
})
