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

describe('the attack list: each is refused, or sees nothing that is not the key’s', () => {
  const HOSTILE: readonly string[] = [
    // Statements that are no SELECT.
    'INSERT INTO purchases VALUES (1)',
    'DROP TABLE events',
    'ALTER TABLE events DELETE WHERE 1',
    'CREATE VIEW v AS SELECT 1',
    'ATTACH TABLE x',
    'SYSTEM SHUTDOWN',
    'KILL QUERY WHERE 1',
    'SET max_memory_usage = 0',
    'USE system',
    'EXPLAIN SELECT 1',
    'EXPLAIN AST SELECT 1',
    'SHOW TABLES',
    'DESCRIBE events',
    'TRUNCATE events',
    'SELECT 1; DROP TABLE events',
    'SELECT 1; SELECT 2',
    // Clauses that reach further.
    'SELECT 1 FROM purchases SETTINGS readonly = 0',
    "SELECT 1 FROM purchases INTO OUTFILE '/tmp/x'",
    'SELECT 1 FROM purchases FORMAT Vertical',
    'SELECT * FROM purchases FINAL',
    'SELECT * FROM purchases SAMPLE 1',
    'SELECT * FROM purchases PREWHERE 1',
    'SELECT * FROM purchases ARRAY JOIN tags',
    'SELECT price FROM purchases ORDER BY price WITH FILL',
    'SELECT * EXCEPT (price) FROM purchases',
    'SELECT * REPLACE (1 AS price) FROM purchases',
    'SELECT * APPLY(sum) FROM purchases',
    "SELECT COLUMNS('.*') FROM purchases",
    'SELECT purchases.* FROM purchases',
    'SELECT price FROM purchases p ASOF JOIN users u ON p.price > u.id',
    'SELECT count() FROM purchases WITH TOTALS',
    // Tables that are no collections of the project.
    ...[
      'events',
      'event_properties',
      'event_repeats',
      'cached_query_runs',
      'system.tables',
      'system.query_log',
      'information_schema.tables',
      'default.events',
      'secrets',
    ].map((table) => `SELECT * FROM ${table}`),
    ...['`system.tables`', '"system"."tables"', '`events`', '"default.events"', '`purchases` `p`, `events`'].map(
      (table) => `SELECT count() FROM ${table}`,
    ),
    'SELECT * FROM `purchases`) WHERE 1 UNION ALL SELECT * FROM events --`',
    // Table functions.
    ...[
      "file('/etc/passwd')",
      "url('http://127.0.0.1/')",
      "remote('127.0.0.1', default.events)",
      "merge('default', '.*')",
      'numbers(10)',
      "s3('x')",
      "input('x String')",
      "cluster('x', default.events)",
      'view(SELECT * FROM events)',
      "generateRandom('x UInt8')",
      "executable('x')",
      "mysql('x')",
      "null('x')",
      'loop(events)',
      "dictionary('d')",
    ].map((table) => `SELECT * FROM ${table}`),
    // Functions that tell or do what is not the caller's.
    ...[
      "file('/etc/passwd')",
      'currentDatabase()',
      'version()',
      'hostName()',
      "getSetting('max_threads')",
      "dictGet('d', 'x', 1)",
      "joinGet('j', 'x', 1)",
      'sleep(3)',
      'sleepEachRow(1)',
      'throwIf(1)',
      'currentUser()',
      'queryID()',
      'serverUUID()',
      'uptime()',
      'tcpPort()',
      "catboostEvaluate('x', 1)",
      'addressToLine(1)',
      "getMacro('x')",
      "initializeAggregation('sum', 1)",
      "arrayReduce('sum', [1])",
      'materialize(1)',
      'evalMLMethod(1)',
      "JSONExtract('x', 'String')",
      "hasColumnInTable('default','events','body')",
      'filesystemAvailable()',
      'generateUUIDv4()',
    ].map((call) => `SELECT ${call}`),
    // Columns of the table beneath, and of the engine.
    ...[
      '_part',
      '_table',
      '_database',
      '_partition_id',
      'body',
      'project',
      'collection',
      'properties',
      'log_offset',
      'k0',
      'c0',
      '__c0_0',
      '__t0',
      '__o0',
    ].map((column) => `SELECT ${column} FROM purchases`),
    'SELECT events.body FROM purchases',
    'SELECT t.project FROM purchases t',
    "SELECT price AS project, 1 AS collection FROM purchases WHERE project != 'x'",
    // Quotes, comments and letters that look like others.
    "SELECT 'a\\' OR 1=1 --' FROM purchases",
    'SELECT /* /* nested */ */ 1 FROM purchases',
    'SELECT 1 /* without an end',
    'SELECT "without an end',
    'SELECT $$x$$ FROM purchases',
    'SELECT 1 # comment',
    'SELECT \u0000 FROM purchases',
    'ＳＥＬＥＣＴ * ＦＲＯＭ events',
    'SELECT * FROM еvents',
    'SELECT price FROM purchases WHERE price = 1 OR\u00a01=1',
    'SELECT "a`b", `c``d`, "e""f", `\\`; SELECT 1 --` FROM purchases',
    "SELECT `') FROM events --` FROM purchases",
    'SELECT price AS `x`) FROM events; --` FROM purchases',
    // Lambdas, aliases and CTEs with names that are taken.
    'SELECT arrayMap(events -> events, tags) FROM purchases',
    'SELECT arrayMap((x, y) -> (SELECT count() FROM events), tags, tags) FROM purchases',
    'SELECT arrayFilter(x -> x IN (SELECT body FROM events), tags) FROM purchases',
    'WITH purchases AS (SELECT 1 AS price) SELECT price FROM purchases',
    'WITH events AS (SELECT * FROM events) SELECT * FROM events',
    'WITH a AS (SELECT * FROM a) SELECT * FROM a',
    'SELECT price FROM purchases WHERE price = (SELECT max(price) FROM events)',
    'SELECT (SELECT word FROM secrets LIMIT 1)',
    'SELECT u.id FROM users u WHERE EXISTS (SELECT 1 FROM purchases p WHERE p.user.id = u.id)',
    'SELECT price FROM purchases UNION ALL SELECT word FROM secrets',
    'SELECT p.price FROM purchases p JOIN events e ON 1 = 1',
    'SELECT p.price FROM purchases p JOIN purchases USING (project)',
    // Too much.
    `SELECT ${'('.repeat(500)}1${')'.repeat(500)}`,
    `SELECT ${'-'.repeat(3_000)} 1`,
    `SELECT ${'NOT '.repeat(500)} true`,
    `SELECT ${Array.from({ length: 60 }, (_, i) => `(SELECT count() FROM purchases p${i})`).join(' + ')}`,
    `WITH a0 AS (SELECT 1 AS x), ${Array.from({ length: 20 }, (_, i) => `a${i + 1} AS (SELECT l.x FROM a${i} l JOIN a${i} r ON l.x = r.x)`).join(', ')} SELECT * FROM a20`,
    'SELECT 1e999999999',
    `SELECT ${'9'.repeat(400)}`,
    'SELECT price FROM purchases LIMIT 99999999999',
    'SELECT price FROM purchases LIMIT (SELECT 1)',
    'SELECT {p:String}',
    'SELECT {p0:String}, {p1:Nullable(String)}',
  ]

  test.each(HOSTILE.map((query) => [query.slice(0, 120), query]))('%s', async (_shown, query) => {
    const outcome = await ask(query).then(
      (rows) => JSON.stringify(rows),
      (error: unknown) => error as Error & { code?: string },
    )
    if (typeof outcome === 'string') {
      // Harmless: nothing of another project, of the table beneath, or of the server.
      expect(outcome).not.toMatch(/SECRET|999|aaaaaaaa|bbbbbbbb|\/etc|root:|MergeTree/)
      return
    }
    expect(outcome.code).toBe('InvalidSqlError')
    expect(outcome.message).not.toMatch(/SECRET|__[a-z]\d|dynamicElement|FROM events|aaaaaaaa|log_offset = |DB::/)
  })

  test('the table is named once for each collection that is selected from, always under the project', async () => {
    const query =
      'SELECT p.price FROM purchases p JOIN (SELECT id FROM users UNION ALL SELECT user.id FROM purchases) u ON p.user.id = u.id'
    const compiled = compileSql(parseSql(query), grant, new Map(), () => new Set(), null)
    expect(compiled.sql.match(/FROM events\n {2}WHERE project = \{p\d+:String\}\n {4}AND collection = /g)).toHaveLength(
      3,
    )
    expect(compiled.sql.match(/\bevents\b/g)).toHaveLength(3)
    expect(compiled.sql).not.toMatch(/purchases|users|'ann'/)
  })
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
