import { parquetMetadata } from 'hyparquet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compileSql } from '../../../services/query/language/sql/compile.ts'
import { parseSql } from '../../../services/query/language/sql/parse-query.ts'
import { buildQueryApi } from '../api.ts'
import { grantFor, hexId, openTestWarehouse, store } from '../stored-events.ts'
import { sqlOf } from './ask-sql.ts'

const PROJECT = 'a'.repeat(24)
const OTHER = 'b'.repeat(24)
const NOW = Date.UTC(2026, 0, 10, 12)

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let sql: ReturnType<typeof sqlOf>
const grant = grantFor(PROJECT)
const ask = async (query: string, parameters?: Record<string, unknown>) => sql(grant, query, parameters)

beforeAll(async () => {
  opened = await openTestWarehouse()
  sql = sqlOf(opened.warehouse)
  let count = 0
  const event = (project: string, collection: string, day: number, body: object) => ({
    project,
    collection,
    timestampMs: Date.UTC(2026, 0, day),
    createdAtMs: Date.UTC(2026, 0, day, 1),
    id: hexId(count++),
    body: JSON.stringify(body),
  })
  await store(opened.warehouse, [
    event(PROJECT, 'purchases', 1, {
      price: 10,
      user: { id: 'ann', plan: 'pro' },
      tags: ['a', 'b'],
      mixed: 1,
      paid: true,
    }),
    event(PROJECT, 'purchases', 2, { price: 20.5, user: { id: 'bob', plan: 'free' }, mixed: 'x', paid: false }),
    event(PROJECT, 'purchases', 3, { price: 30, user: { id: 'ann', plan: 'pro' }, tags: ['b'], mixed: null }),
    event(PROJECT, 'users', 1, { id: 'ann', name: 'Ann' }),
    event(PROJECT, 'users', 1, { id: 'eve', name: "E'v\\e" }),
    event(PROJECT, 'odd name.x', 1, { 'a b': 1 }),
    event(OTHER, 'purchases', 1, { price: 999, user: { id: 'SECRET' } }),
    event(OTHER, 'secrets', 1, { word: 'SECRET' }),
  ])
})
afterAll(async () => {
  await opened.close()
})

describe('what can be asked', () => {
  test.each<[string, unknown[][]]>([
    ['SELECT count(*) FROM purchases', [[3]]],
    [
      'SELECT user.plan, sum(price) AS total FROM purchases GROUP BY user.plan ORDER BY total DESC',
      [
        ['pro', 40],
        ['free', 20.5],
      ],
    ],
    [
      'select p.user.id, p.price from purchases p where p.price > 10 order by 2',
      [
        ['bob', 20.5],
        ['ann', 30],
      ],
    ],
    ["SELECT purchases.price FROM purchases WHERE user.id = 'bob'", [[20.5]]],
    ['SELECT u.name, count() FROM purchases AS p JOIN users AS u ON p.user.id = u.id GROUP BY u.name', [['Ann', 2]]],
    [
      'SELECT u.name, p.price FROM users u LEFT JOIN purchases p ON p.user.id = u.id WHERE p.price IS NULL',
      [["E'v\\e", null]],
    ],
    [
      "WITH pro AS (SELECT user.id AS who, price FROM purchases WHERE user.plan = 'pro') SELECT who, max(price) FROM pro GROUP BY who",
      [['ann', 30]],
    ],
    [
      'SELECT who FROM (SELECT user.id AS who FROM purchases UNION ALL SELECT id FROM users) GROUP BY who HAVING count() > 1 ORDER BY who',
      [['ann']],
    ],
    ['SELECT id FROM users WHERE id NOT IN (SELECT user.id FROM purchases)', [['eve']]],
    [
      'SELECT user.id, row_number() OVER (PARTITION BY user.id ORDER BY keen.timestamp) AS n FROM purchases ORDER BY user.id, n',
      [
        ['ann', 1],
        ['ann', 2],
        ['bob', 1],
      ],
    ],
    [
      'SELECT sum(price) OVER (ORDER BY price ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM purchases ORDER BY s',
      [[10], [30.5], [60.5]],
    ],
    [
      "SELECT CASE WHEN price >= 20 THEN 'dear' ELSE 'cheap' END AS c, count(DISTINCT user.id) FROM purchases GROUP BY c ORDER BY c",
      [
        ['cheap', 1],
        ['dear', 2],
      ],
    ],
    ['SELECT quantile(0.5)(price), countIf(paid) FROM purchases', [[20.5, 1]]],
    [
      'SELECT price::Int64, mixed, mixed::Float64 FROM purchases ORDER BY price',
      [
        [10, '1', 1],
        [20, 'x', null],
        [30, null, null],
      ],
    ],
    ['SELECT arrayMap(x -> upper(x), tags) FROM purchases ORDER BY price LIMIT 1', [[['A', 'B']]]],
    ['SELECT toStartOfMonth(keen.timestamp)::String, count() FROM purchases GROUP BY 1', [['2026-01-01', 3]]],
    [
      "SELECT count() FROM purchases WHERE keen.timestamp >= '2026-01-02'::timestamp AND keen.timestamp < '2026-01-02'::timestamp + INTERVAL 1 DAY",
      [[1]],
    ],
    ['SELECT `a b` FROM "odd name.x"', [[1]]],
    ['SELECT price FROM purchases ORDER BY price DESC LIMIT 1 OFFSET 1', [[20.5]]],
    ['SELECT DISTINCT user.id AS who FROM purchases ORDER BY who', [['ann'], ['bob']]],
    ['SELECT id FROM users INTERSECT SELECT user.id FROM purchases', [['ann']]],
    ['SELECT id FROM users EXCEPT SELECT user.id FROM purchases', [['eve']]],
    ['SELECT nothing.here FROM purchases LIMIT 1', [[null]]],
    ['SELECT 1 + 2 * 3 -- a comment\n /* and another */ ;', [[7]]],
    ["SELECT 'it''s', 'back\\slash', NULL, TRUE", [["it's", 'back\\slash', null, true]]],
  ])('%s', async (query, expected) => {
    expect(await ask(query)).toEqual(expected)
  })

  test('parameters are values of their types', async () => {
    const query =
      'SELECT count() FROM purchases WHERE user.id = {who:String} AND price > {least:Float64} AND paid = {paid:Bool}'
    expect(await ask(query, { who: 'ann', least: 5, paid: true })).toEqual([[1]])
    const hostile = "' OR 1=1; SELECT * FROM events --"
    expect(await ask('SELECT {t:String}', { t: hostile })).toEqual([[hostile]])
    await expect(ask(query, { who: 'ann', least: 'x', paid: true })).rejects.toThrow(
      'parameters.least must be of the type Float64',
    )
    await expect(ask('SELECT {who:Identifier} FROM purchases', { who: 'price' })).rejects.toThrow(
      'no type that is known',
    )
    await expect(ask('SELECT count() FROM {t:String}', { t: 'purchases' })).rejects.toMatchObject({
      code: 'InvalidSqlError',
    })
  })

  test('errors have the caller’s line and column, and no word of ours', async () => {
    await expect(ask('SELECT price\nFROM purchases\nWHERE frobnicate(price) > 1')).rejects.toThrow(
      'line 3, column 7: there is no function frobnicate',
    )
    await expect(ask('SELECT a FROM nowhere')).rejects.toThrow('line 1, column 15: there is no collection nowhere')
    const wrong = ask('SELECT upper(price) FROM purchases')
    await expect(wrong).rejects.toMatchObject({ code: 'InvalidSqlError' })
    const { message } = (await wrong.catch((error: unknown) => error)) as Error
    expect(message).not.toMatch(/__|events|dynamicElement|project|\{p\d/)
  })
})

test('the table is named once for each collection that is selected from, always under the project', async () => {
  const query =
    'SELECT p.price FROM purchases p JOIN (SELECT id FROM users UNION ALL SELECT user.id FROM purchases) u ON p.user.id = u.id'
  const compiled = compileSql(parseSql(query), grant, new Map(), () => new Set(), null)
  expect(compiled.sql.match(/FROM events\n {2}WHERE project = \{p\d+:String\}\n {4}AND collection = /g)).toHaveLength(3)
  expect(compiled.sql.match(/\bevents\b/g)).toHaveLength(3)
  expect(compiled.sql).not.toMatch(/purchases|users|'ann'/)
})

describe('over HTTP', () => {
  const api = () =>
    buildQueryApi({
      warehouse: opened.warehouse,
      keys: {
        R: grantFor(PROJECT),
        A: grantFor(PROJECT, [{ property_name: 'user.id', operator: 'eq', property_value: 'ann' }], 'access'),
      },
      nowMs: NOW,
    })
  const post = async (body: object, headers: Record<string, string> = {}) =>
    api().app.inject({
      method: 'POST',
      url: `/3.0/projects/${PROJECT}/queries/sql`,
      headers: { authorization: 'R', ...headers },
      payload: JSON.stringify(body),
    })

  test('rows as objects, with the types of their columns', async () => {
    const { statusCode, body } = await post({
      query: 'SELECT user.id AS who, price FROM purchases ORDER BY price',
      include_metadata: true,
    })
    expect(statusCode).toBe(200)
    expect(JSON.parse(body)).toEqual({
      result: [
        { who: 'ann', price: 10 },
        { who: 'bob', price: 20.5 },
        { who: 'ann', price: 30 },
      ],
      columns: [
        { name: 'who', type: 'Nullable(String)' },
        { name: 'price', type: 'Nullable(Float64)' },
      ],
      execution_metadata: { rows: 3, total_processing_time: expect.any(Number) },
    })
  })

  test('an access key sees its rows in every part of the statement', async () => {
    const query =
      'SELECT user.id AS who, (SELECT count() FROM purchases) AS n FROM purchases WHERE user.id IN (SELECT user.id FROM purchases) GROUP BY who'
    const { body } = await post({ query }, { authorization: 'A' })
    expect(JSON.parse(body)).toMatchObject({ result: [{ who: 'ann', n: 2 }] })
  })

  test('CSV, JSON lines, Arrow and Parquet', async () => {
    const query = 'SELECT user.id AS `the "who"`, price FROM purchases ORDER BY price'
    const csv = await post({ query, format: 'csv' })
    expect(csv.headers['content-type']).toContain('text/csv')
    expect(csv.body.split('\n')[0]).toBe('"the ""who""","price"')
    const lines = await post({ query }, { accept: 'application/x-ndjson' })
    expect(
      lines.body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toContainEqual({ 'the "who"': 'bob', price: 20.5 })
    const arrow = await post({ query, format: 'arrow' })
    expect([...arrow.rawPayload.subarray(0, 4)]).toEqual([0xff, 0xff, 0xff, 0xff])
    const parquet = await post({ query, format: 'parquet' })
    const bytes = new Uint8Array(parquet.rawPayload)
    const metadata = parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    expect(Number(metadata.num_rows)).toBe(3)
    expect(metadata.schema.map(({ name }) => name)).toEqual(expect.arrayContaining(['the "who"', 'price']))
  })

  test.each([
    [{}, 'MissingRequiredRequestFieldError'],
    [{ query: 5 }, 'InvalidRequestFieldError'],
    [{ query: 'x'.repeat(70_000) }, 'InvalidRequestFieldError'],
    [{ query: 'SELECT 1', format: 'xml' }, 'InvalidRequestFieldError'],
    [{ query: 'SELECT 1', parameters: [] }, 'InvalidRequestFieldError'],
    [{ query: 'SELECT 1 +' }, 'InvalidSqlError'],
    [{ query: 'SELECT 1 +', format: 'csv' }, 'InvalidSqlError'],
  ])('%j is refused', async (body, code) => {
    const answer = await post(body)
    expect(answer.statusCode).toBe(400)
    expect(JSON.parse(answer.body)).toMatchObject({ error_code: code })
  })
})
