import { zstdDecompressSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildQueryApi, SETTINGS } from '../api.ts'
import { grantFor, hexId, openTestWarehouse, store, WIDE_LIMITS } from '../stored-events.ts'

const PROJECT = 'a'.repeat(24)
const DAY_MS = 86_400_000
const START_MS = Date.UTC(2026, 0, 1)

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let api: ReturnType<typeof buildQueryApi>

const event = (n: number, collection: string, body: object) => ({
  project: PROJECT,
  collection,
  timestampMs: START_MS + n * DAY_MS,
  createdAtMs: START_MS + n * DAY_MS + 1_000,
  id: hexId(n),
  body: JSON.stringify(body),
})

beforeAll(async () => {
  opened = await openTestWarehouse()
  await store(opened.warehouse, [
    event(0, 'purchases', {
      price: 10,
      n: 1,
      user: { id: 'u1', plan: 'free' },
      ok: true,
      tags: ['a', 'b'],
      mixed: 1,
      big: 9_007_199_254_740_991,
    }),
    event(1, 'purchases', { price: 2.5, n: 2, user: { id: 'u2', plan: 'pro' }, ok: false, tags: [], mixed: '7' }),
    event(2, 'purchases', { price: 30, n: 3, user: { id: 'u1', plan: 'pro' }, mixed: [1, 'x'], 'odd name': 'x' }),
    event(3, 'users', { id: 'u1', name: 'Ann' }),
    event(4, 'it’s "odd"', { n: 1 }),
  ])
  const keys = {
    master: grantFor(PROJECT),
    write: { ...grantFor(PROJECT, undefined, 'write'), permitted: new Set() } as ReturnType<typeof grantFor>,
  }
  api = buildQueryApi({ warehouse: opened.warehouse, keys, nowMs: START_MS })
})
afterAll(async () => {
  await api.app.close()
  await opened.close()
})

const post = async (payload: object, headers: Record<string, string> = {}, key = 'master') =>
  api.app.inject({ method: 'POST', url: `/3.0/projects/${PROJECT}/queries/sql?api_key=${key}`, payload, headers })

async function rows(query: string, parameters: object = {}): Promise<unknown> {
  const answer = await post({ query, parameters })
  expect(answer.statusCode, answer.body).toBe(200)
  return answer.json<{ result: unknown }>().result
}

async function refusal(query: string, parameters: object = {}) {
  const answer = await post({ query, parameters })
  expect(answer.statusCode, answer.body).toBe(400)
  return answer.json<{ error_code: string; message: string; line: number; column: number }>()
}

describe('types', () => {
  test('a property has the type that it was seen with', async () => {
    const { columns, result } = (
      await post({ query: 'SELECT price, n, user.plan, ok, tags, mixed, nothing FROM purchases ORDER BY n' })
    ).json<{ columns: { name: string; type: string }[]; result: unknown[] }>()
    expect(columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'price Nullable(Float64)',
      'n Nullable(Int64)',
      'user.plan Nullable(String)',
      'ok Nullable(Bool)',
      'tags Array(Nullable(String))',
      'mixed Nullable(String)',
      'nothing Nullable(String)',
    ])
    expect(result[0]).toEqual({
      price: 10,
      n: 1,
      'user.plan': 'free',
      ok: true,
      tags: ['a', 'b'],
      mixed: '1',
      nothing: null,
    })
    expect(result[2]).toMatchObject({ ok: null, mixed: '[1,"x"]' })
  })
  test('a cast of a mixed property reads what is of that type', async () => {
    const sql =
      'SELECT mixed::Float64 AS f, mixed::Int64 AS i, CAST(mixed AS String) AS s, TRY_CAST(mixed::String AS Float64) AS t FROM purchases ORDER BY n'
    expect(await rows(sql)).toEqual([
      { f: 1, i: 1, s: '1', t: 1 },
      { f: null, i: null, s: '7', t: 7 },
      { f: null, i: null, s: '[1,"x"]', t: null },
    ])
  })
  test('an object is its JSON, and * is the event', async () => {
    expect(await rows('SELECT user FROM purchases WHERE n = 1')).toEqual([{ user: '{"id":"u1","plan":"free"}' }])
    const [row] = (await rows('SELECT * FROM users')) as Record<string, string>[]
    expect(Object.keys(row ?? {})).toEqual(['keen.id', 'keen.timestamp', 'keen.created_at', 'event'])
    expect(JSON.parse(row?.['event'] ?? '')).toEqual({ id: 'u1', name: 'Ann' })
    expect(row?.['keen.timestamp']).toBe('2026-01-04T00:00:00.000Z')
  })
  test('times compare with texts, and a range is not read beyond its ends', async () => {
    expect(await rows("SELECT n FROM purchases WHERE timestamp >= '2026-01-02' AND timestamp < '2026-01-03'")).toEqual([
      { n: 2 },
    ])
    expect(await rows("SELECT n FROM purchases WHERE '2026-01-02T00:00:00Z' = keen.timestamp")).toEqual([{ n: 2 }])
    expect(
      await rows("SELECT n FROM purchases WHERE timestamp BETWEEN '2026-01-01' AND '2026-01-02' ORDER BY n"),
    ).toEqual([{ n: 1 }, { n: 2 }])
    expect(
      await rows("SELECT p.n FROM purchases p LEFT JOIN users u ON u.id = p.user.id WHERE p.timestamp > '2026-01-02'"),
    ).toEqual([{ n: 3 }])
    expect((await refusal("SELECT n FROM purchases WHERE timestamp > 'soon'")).message).toContain('no date and time')
  })
  test('a whole number keeps its digits', async () => {
    expect((await post({ query: 'SELECT big + 2 AS b FROM purchases WHERE n = 1' })).body).toContain(
      '{"b":9007199254740993}',
    )
    expect((await post({ query: 'SELECT 9007199254740993 AS b' })).body).toContain('{"b":9007199254740993}')
  })
})

describe('statements', () => {
  test.each<[string, unknown]>([
    [
      'SELECT user.plan, sum(price) AS total FROM purchases GROUP BY user.plan ORDER BY total DESC',
      [
        { 'user.plan': 'pro', total: 32.5 },
        { 'user.plan': 'free', total: 10 },
      ],
    ],
    [
      'SELECT p.n, u.name FROM purchases AS p LEFT JOIN users AS u ON p.user.id = u.id ORDER BY p.n',
      [
        { n: 1, name: 'Ann' },
        { n: 2, name: null },
        { n: 3, name: 'Ann' },
      ],
    ],
    ['WITH big AS (SELECT * FROM purchases WHERE price > 5) SELECT count(*) AS c FROM big', [{ c: 2 }]],
    [
      'SELECT n FROM purchases WHERE n < 3 UNION ALL SELECT n FROM purchases WHERE n = 1 ORDER BY n DESC LIMIT 2',
      [{ n: 2 }, { n: 1 }],
    ],
    ['SELECT n FROM purchases EXCEPT SELECT 2 ORDER BY 1', [{ n: 1 }, { n: 3 }]],
    [
      'SELECT n, row_number() OVER (PARTITION BY user.id ORDER BY n DESC) AS rn FROM purchases ORDER BY n',
      [
        { n: 1, rn: 2 },
        { n: 2, rn: 1 },
        { n: 3, rn: 1 },
      ],
    ],
    [
      "SELECT CASE WHEN price > 5 THEN 'big' ELSE 'small' END AS size, count() AS c FROM purchases GROUP BY size ORDER BY size",
      [
        { size: 'big', c: 2 },
        { size: 'small', c: 1 },
      ],
    ],
    [
      'SELECT quantileExact(0.5)(price) AS q, countIf(ok) AS c, count(DISTINCT user.id) AS u, sum(n) FILTER (WHERE price > 5) AS s FROM purchases',
      [{ q: 10, c: 1, u: 2, s: 4 }],
    ],
    [
      'SELECT toStartOfMonth(timestamp) AS month, max(timestamp) AS last FROM purchases GROUP BY month',
      [{ month: '2026-01-01', last: '2026-01-03T00:00:00.000Z' }],
    ],
    ['SELECT arrayMap(x -> upper(x), tags) AS t, tags[1] AS f FROM purchases WHERE n = 1', [{ t: ['A', 'B'], f: 'a' }]],
    ['SELECT `odd name` AS `a "b" `` \\\\ é` FROM purchases WHERE n = 3', [{ 'a "b" ` \\ é': 'x' }]],
    ['SELECT n FROM `it’s "odd"`', [{ n: 1 }]],
    ['SELECT x.n FROM (SELECT n FROM purchases ORDER BY n DESC LIMIT 1) AS x', [{ n: 3 }]],
    ['SELECT n FROM purchases ORDER BY price LIMIT 1 OFFSET 1', [{ n: 1 }]],
    ['SELECT n FROM purchases ORDER BY n LIMIT 1 BY user.id', [{ n: 1 }, { n: 2 }]],
    [
      "SELECT '2026-01-31'::Date + INTERVAL 1 DAY AS d, EXTRACT(YEAR FROM timestamp) AS y FROM users",
      [{ d: '2026-02-01', y: 2026 }],
    ],
    ['SELECT n, n FROM purchases WHERE n = 1', [{ n: 1, n_2: 1 }]],
    ['SELECT 1 AS w, 2 AS o0', [{ w: 1, o0: 2 }]],
  ])('%s', async (sql, wanted) => {
    expect(await rows(sql)).toEqual(wanted)
  })
  test('order and limit hold for large results', async () => {
    const found = (await rows(
      'SELECT a.n * 9 + b.n * 3 + c.n AS x FROM purchases a, purchases b, purchases c ORDER BY x DESC',
    )) as { x: number }[]
    expect(found.map(({ x }) => x)).toEqual(Array.from({ length: 27 }, (_, i) => 39 - i))
  })
})

describe('parameters', () => {
  test('typed and untyped', async () => {
    expect(
      await rows('SELECT n FROM purchases WHERE user.plan = {plan:String} AND price > :low', { plan: 'pro', low: 5 }),
    ).toEqual([{ n: 3 }])
    expect(
      await rows('SELECT n FROM purchases WHERE timestamp >= {from:DateTime} ORDER BY n', { from: '2026-01-02' }),
    ).toEqual([{ n: 2 }, { n: 3 }])
    expect(
      await rows('SELECT n FROM purchases WHERE n IN {list:Array(Int64)} ORDER BY n LIMIT :max', {
        list: [1, 3],
        max: 1,
      }),
    ).toEqual([{ n: 1 }])
    expect(
      await rows('SELECT {s:String} AS s, {b:Bool} AS b, {z:Int64} AS z', {
        s: 'a\'b\\\n\t"`{x:Int8}',
        b: true,
        z: null,
      }),
    ).toEqual([{ s: 'a\'b\\\n\t"`{x:Int8}', b: true, z: null }])
  })
  test('a value that is missing or of another type is named', async () => {
    expect((await refusal('SELECT\n  {x:Int64}', { x: 'no' })).message).toBe(
      'query, line 2, column 3: parameters.x must be of the type Int64',
    )
    expect((await refusal('SELECT :y', { x: 1 })).message).toBe(
      'query, line 1, column 8: the parameter y has no value in parameters',
    )
    const wrong = await post({ query: 'SELECT 1', parameters: { x: {} } })
    expect(wrong.json()).toMatchObject({
      error_code: 'InvalidRequestFieldError',
      message: expect.stringContaining('parameters.x'),
    })
  })
})

describe('formats', () => {
  const query = 'SELECT n, user.plan AS plan, tags FROM purchases ORDER BY n'
  test('JSON, with what it took', async () => {
    const answer = await post({ query, include_metadata: true, max_rows: 2 })
    expect(answer.headers['content-type']).toContain('application/json')
    const body = answer.json<{ result: unknown[]; execution_metadata: { rows: number } }>()
    expect(body.result).toHaveLength(2)
    expect(body.execution_metadata.rows).toBe(2)
    expect((await post({ query: 'SELECT n FROM purchases WHERE n > 9' })).json()).toMatchObject({ result: [] })
  })
  test('CSV with a header, chosen by the body or by Accept', async () => {
    const wanted = '"n","plan","tags"\n1,"free","[\'a\',\'b\']"\n2,"pro","[]"\n3,"pro","[]"\n'
    const first = await post({ query, format: 'csv' })
    expect(first.headers['content-type']).toContain('text/csv')
    expect(first.body).toBe(wanted)
    expect((await post({ query }, { accept: 'text/csv, */*' })).body).toBe(wanted)
    expect((await post({ query: 'SELECT ok FROM purchases ORDER BY n', format: 'csv' })).body).toBe(
      '"ok"\ntrue\nfalse\n\n',
    )
  })
  test('NDJSON', async () => {
    const { body } = await post({ query, format: 'ndjson' })
    expect(
      body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown)[1],
    ).toEqual({ n: 2, plan: 'pro', tags: [] })
  })
  test('Parquet that a reader reads', async () => {
    const answer = await post({ query, format: 'parquet' })
    const bytes = new Uint8Array(answer.rawPayload)
    const found = await parquetReadObjects({
      file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
      compressors: { ZSTD: (input) => new Uint8Array(zstdDecompressSync(input)) },
    })
    expect(found).toMatchObject([
      { n: 1n, plan: 'free' },
      { n: 2n, plan: 'pro' },
      { n: 3n, plan: 'pro' },
    ])
  })
  test('a column of which nothing is known is null in every format', async () => {
    for (const format of ['json', 'csv', 'ndjson', 'arrow', 'parquet']) {
      const answer = await post({ query: 'SELECT n, nothing, sum(nothing) OVER () AS s FROM purchases', format })
      expect(answer.statusCode, `${format} ${answer.body}`).toBe(200)
    }
    const sql = 'SELECT nothing + 1 AS a, upper(nothing) AS b, count(nothing) AS c FROM purchases GROUP BY nothing'
    expect(await rows(sql)).toEqual([{ a: null, b: null, c: 0 }])
    const joined =
      'SELECT count() AS c FROM purchases AS a LEFT JOIN users AS b ON a.nothing = b.id WHERE a.nothing IS NULL'
    expect(await rows(joined)).toEqual([{ c: 3 }])
  })
  test('an Arrow stream', async () => {
    const { rawPayload, headers } = await post({ query, format: 'arrow' })
    expect(headers['content-type']).toBe('application/vnd.apache.arrow.stream')
    // A message begins with FFFFFFFF and the length of its metadata; the stream ends with one of length 0.
    expect(rawPayload.readUInt32LE(0)).toBe(0xff_ff_ff_ff)
    expect(rawPayload.subarray(-8).toString('hex')).toBe('ffffffff00000000')
  })
})

describe('refusals', () => {
  test.each<[string, string]>([
    ['SELEC 1', 'query, line 1, column 1: expected SELECT, found "SELEC"'],
    ['SELECT n\nFROM nowhere', 'query, line 2, column 6: there is no collection nowhere'],
    ['SELECT n\nFROM purchases\nWHERE nofunction(n)', 'query, line 3, column 7: there is no function nofunction here'],
    ['SELECT n, count() FROM purchases', 'query, line 1, column 8: n must stand in GROUP BY or inside an aggregate'],
    [
      'SELECT n FROM purchases WHERE count() > 1',
      'query, line 1, column 31: count is an aggregate, which cannot stand in WHERE',
    ],
    [
      'SELECT n FROM purchases a JOIN users b ON a.n = b.id',
      'query, line 1, column 8: n may be of several tables: put the table’s name and a dot before it',
    ],
    ['SELECT x.z FROM (SELECT n FROM purchases) x', 'query, line 1, column 8: x has no column z'],
    // Found by the warehouse alone.
    [
      'SELECT n,\n  upper(n) FROM purchases',
      'query, line 2, column 3: an argument has a type that does not fit here; a cast (price::Float64) may help',
    ],
    [
      "SELECT toInt64('x') AS a",
      'query, line 1, column 1: a text could not be read as the type that is wanted; a cast (name::Int64) gives null instead',
    ],
    ["SELECT n FROM purchases WHERE match(user.plan, '(')", 'query, line 1, column 31: a pattern is not valid RE2'],
  ])('%s', async (sql, message) => {
    const body = await refusal(sql)
    expect(body).toMatchObject({ error_code: 'InvalidSqlError', message })
    const [, line, column] = /line (\d+), column (\d+)/.exec(message) ?? []
    expect([body.line, body.column]).toEqual([Number(line), Number(column)])
  })
  test.each<[object, string]>([
    [{}, 'query'],
    [{ query: 1 }, 'query'],
    [{ query: 'SELECT 1', format: 'xml' }, 'format'],
    [{ query: 'SELECT 1', max_rows: 0 }, 'max_rows'],
    [{ query: 'SELECT 1', parameters: [] }, 'parameters'],
    [{ query: 'SELECT 1', include_metadata: 1 }, 'include_metadata'],
  ])('%j names the field', async (payload, field) => {
    const answer = await post(payload)
    expect(answer.statusCode).toBe(400)
    expect(answer.json<{ message: string }>().message).toContain(field)
  })
  test('a key without queries is not permitted, and limits are named', async () => {
    expect((await post({ query: 'SELECT 1' }, {}, 'write')).statusCode).toBe(403)
    const limits = { ...WIDE_LIMITS, memoryBytes: 20_000_000, resultRows: 10 }
    const small = buildQueryApi({
      warehouse: opened.warehouse,
      keys: { master: grantFor(PROJECT) },
      nowMs: START_MS,
      settings: { ...SETTINGS, limits: { master: limits, read: limits, write: limits, access: limits } },
    })
    const answer = await small.app.inject({
      method: 'POST',
      url: `/3.0/projects/${PROJECT}/queries/sql?api_key=master`,
      payload: { query: 'SELECT a.n FROM purchases a, purchases b, purchases c' },
    })
    await small.app.close()
    expect(answer.json()).toMatchObject({
      error_code: 'QueryTooLargeError',
      message: expect.stringContaining('limit 10'),
    })
  })
})
