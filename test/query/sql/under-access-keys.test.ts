import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { passes, type FilterFields } from '../model.ts'
import { grantFor, hexId, openTestWarehouse, store } from '../stored-events.ts'
import { sqlOf } from './ask-sql.ts'

/**
 * The oracle: a project that holds the rows of the key and no others. Whatever is asked under the key must give what the
 * same statement gives there, where there is nothing else to be seen.
 */

const CASES = Number(process.env['TRIBUTARY_TEST_CASES'] ?? 400)
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 2 ** 31)
const START_MS = Date.UTC(2026, 0, 1)
const COLLECTIONS = ['one', 'two'] as const
const WHOLE = 'a'.repeat(24)
const ELSEWHERE = 'f'.repeat(24)

const KEYS: readonly (readonly FilterFields[])[] = [
  [{ property_name: 'tenant', operator: 'eq', property_value: 'x' }],
  [
    { property_name: 'tenant', operator: 'in', property_value: ['x', 'y'] },
    { property_name: 'n', operator: 'gte', property_value: 3 },
  ],
  [
    {
      operator: 'or',
      operands: [
        { property_name: 'tenant', operator: 'eq', property_value: 'z' },
        { property_name: 'u.plan', operator: 'exists', property_value: true },
      ],
    },
  ],
  [{ property_name: 'tenant', operator: 'eq', property_value: 'nobody' }],
]
const twinOf = (key: number): string => String(key + 1).repeat(24)

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let ask: ReturnType<typeof sqlOf>
const granted: number[] = []

beforeAll(async () => {
  opened = await openTestWarehouse()
  ask = sqlOf(opened.warehouse)
  const body = fc.record(
    {
      tenant: fc.constantFrom('x', 'y', 'z'),
      n: fc.integer({ min: 0, max: 6 }),
      s: fc.constantFrom('a', 'b', 'c', ''),
      u: fc.record({ plan: fc.constantFrom('pro', 'free') }),
      flag: fc.boolean(),
    },
    { requiredKeys: ['tenant'] },
  )
  const events = fc.sample(fc.record({ body, collection: fc.constantFrom(...COLLECTIONS), hour: fc.nat(72) }), {
    numRuns: 120,
    seed: SEED,
  })
  let count = 0
  const stored = (project: string, list: typeof events) =>
    list.map((event) => ({
      project,
      collection: event.collection,
      timestampMs: START_MS + event.hour * 3_600_000,
      createdAtMs: START_MS,
      id: hexId(count++),
      body: JSON.stringify(event.body),
    }))
  const isSeen = (key: number) => (event: (typeof events)[number]) =>
    (KEYS[key] ?? []).every((filter) =>
      passes({ timestampMs: START_MS, createdAtMs: START_MS, id: '', body: event.body }, filter),
    )
  const twins = KEYS.flatMap((_, key) => {
    const seen = events.filter(isSeen(key))
    granted.push(seen.length)
    return stored(twinOf(key), seen)
  })
  // Collections and kinds of properties are a project's; a twin that lacks them would refuse what the whole one answers.
  const known = [...KEYS.keys()].flatMap((key) =>
    COLLECTIONS.map((collection) => ({
      project: twinOf(key),
      collection,
      timestampMs: START_MS,
      createdAtMs: START_MS,
      id: hexId(count++),
      body: '{"tenant":"-","n":0,"s":"","u":{"plan":""},"flag":true}',
    })),
  )
  await store(opened.warehouse, [...stored(WHOLE, events), ...stored(ELSEWHERE, events), ...twins, ...known])
})
afterAll(async () => {
  await opened.close()
})

/** Of the twins, the rows that only make their columns known do not count. */
const TWIN: readonly FilterFields[] = [{ property_name: 'tenant', operator: 'ne', property_value: '-' }]

const scalar = (table: string): fc.Arbitrary<string> =>
  fc.constantFrom(
    ...['tenant', 'n', 's', 'u.plan', 'flag', 'missing', 'keen.timestamp'].map((path) => `${table}.${path}`),
    `upper(${table}.tenant)`,
    `coalesce(${table}.n, -1)`,
    `toStartOfDay(${table}.keen.timestamp)`,
    `CASE WHEN ${table}.n > 2 THEN 'many' ELSE ${table}.s END`,
    `length(${table}.tenant || ${table}.s)`,
  )
const condition = (table: string): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom(
      `${table}.n > 2`,
      `${table}.tenant != 'q'`,
      `${table}.s IN ('a', 'b')`,
      `${table}.u.plan IS NULL`,
      `NOT (${table}.tenant = 'y')`,
      `${table}.tenant LIKE '%'`,
      '1 = 1',
      `${table}.n BETWEEN 1 AND 5 OR true`,
    ),
    fc.constantFrom(...COLLECTIONS).map((other) => `${table}.tenant IN (SELECT tenant FROM ${other})`),
    fc.constantFrom(...COLLECTIONS).map((other) => `${table}.n <= (SELECT max(n) FROM ${other})`),
  )
const aggregate = (table: string): fc.Arbitrary<string> =>
  fc.constantFrom(
    'count()',
    `sum(${table}.n)`,
    `max(${table}.tenant)`,
    `uniqExact(${table}.tenant)`,
    `countIf(${table}.n > 1)`,
    `arraySort(groupUniqArray(${table}.tenant))`,
    `min(${table}.keen.timestamp)`,
  )

const collection = fc.constantFrom(...COLLECTIONS)
const conditions = (table: string): fc.Arbitrary<string> =>
  fc.array(condition(table), { maxLength: 2 }).map((all) => (all.length === 0 ? '' : ` WHERE ${all.join(' AND ')}`))

const plain = fc
  .tuple(collection, fc.array(scalar('t'), { minLength: 1, maxLength: 3 }), conditions('t'))
  .map(([from, columns, where]) => `SELECT ${columns.join(', ')} FROM ${from} AS t${where}`)
const grouped = fc
  .tuple(
    collection,
    scalar('t'),
    fc.array(aggregate('t'), { minLength: 1, maxLength: 3 }),
    conditions('t'),
    fc.boolean(),
  )
  .map(
    ([from, key, values, where, having]) =>
      `SELECT ${key} AS k, ${values.join(', ')} FROM ${from} t${where} GROUP BY k${having ? ' HAVING count() > 1' : ''}`,
  )
const windowed = fc
  .tuple(collection, conditions('t'))
  .map(
    ([from, where]) =>
      `SELECT t.tenant, count() OVER (PARTITION BY t.tenant) AS c, sum(t.n) OVER () AS s FROM ${from} t${where}`,
  )
const joined = fc
  .tuple(collection, collection, fc.constantFrom('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'), conditions('l'))
  .map(
    ([left, right, type, where]) =>
      `SELECT l.tenant, r.s, count() FROM ${left} l ${type} ${right} r ON l.n = r.n${where} GROUP BY 1, 2`,
  )
const oneColumn = fc
  .tuple(collection, conditions('t'))
  .map(([from, where]) => `SELECT t.tenant AS v FROM ${from} t${where}`)
const united = fc
  .tuple(oneColumn, fc.constantFrom('UNION ALL', 'UNION', 'INTERSECT', 'EXCEPT'), oneColumn)
  .map(([left, operator, right]) => `${left} ${operator} ${right}`)
const nested = fc.oneof(oneColumn, united).map((inner) => `SELECT v, count() FROM (${inner}) AS d GROUP BY v`)
const withCte = fc
  .tuple(fc.oneof(oneColumn, united), collection)
  .map(
    ([inner, other]) =>
      `WITH one AS (${inner}), c2 AS (SELECT v FROM one WHERE v != '') SELECT c2.v, count() FROM c2 LEFT JOIN ${other === 'one' ? 'two' : other} o ON o.tenant = c2.v GROUP BY 1`,
  )
const statement = fc.oneof(plain, grouped, windowed, joined, united, nested, withCte)

const sorted = (rows: readonly (readonly unknown[])[]): readonly string[] =>
  rows.map((row) => JSON.stringify(row)).toSorted()

test(
  'a statement under a key gives what it gives where there is nothing but the key’s rows',
  async () => {
    let some = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(KEYS.length - 1), statement, async (key, query) => {
        const [under, alone] = await Promise.all([
          ask(grantFor(WHOLE, KEYS[key]), query),
          ask(grantFor(twinOf(key), TWIN), query),
        ])
        expect(sorted(under)).toEqual(sorted(alone))
        if (under.length > 0) some++
      }),
      { numRuns: CASES, seed: SEED },
    )
    // Answers of nothing prove little, and so do keys that see all or nothing.
    expect(some).toBeGreaterThan(CASES / 3)
    expect(granted.filter((count) => count > 0 && count < 120).length).toBeGreaterThan(1)
  },
  60_000 + CASES * 300,
)
