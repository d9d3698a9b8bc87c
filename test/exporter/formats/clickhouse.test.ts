import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FormatName } from '../../../services/exporter/formats/format.ts'
import { ChdbEngine } from '../../../services/shared/warehouse/chdb-engine.ts'
import { fileOf, T0, uuid } from './file-events.ts'

const EVENTS = [
  '{"n":9007199254740993,"f":0.5,"user":{"plan":"pro","first":true},"mixed":1,"list":[1,{"a":2}],"s":"a, \\"b\\"\\r\\nc"}',
  '{"n":-1,"user":"ted","mixed":"one","s":"","f":-0,"":1}',
  '{"none":null}',
  // Nulls alone in a column of each type: more than 16 of them, where the writer has another encoding for booleans.
  ...Array<string>(30).fill('{}'),
]

let folder: string
let engine: ChdbEngine
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-formats-'))
  engine = new ChdbEngine({ folder, readSessions: 1 })
})
afterAll(async () => {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
})

/** What ClickHouse makes of a file; numbers of 64 bits as text. */
async function read(
  name: FormatName,
  texts: readonly string[],
  select: string,
  format: string,
  where = 'true',
): Promise<unknown[]> {
  const path = join(folder, `${randomUUID()}.${name}`)
  writeFileSync(path, (await fileOf(name, texts)).bytes)
  const { bytes } = await engine.run({
    sql: `SELECT ${select} FROM file('${path}', '${format}') WHERE ${where}`,
    params: new Map(),
    settings: { output_format_json_quote_64bit_integers: 1 },
    format: 'JSONEachRow',
    queryId: randomUUID(),
    lane: 'ask',
  })
  const lines = bytes.toString().split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line))
}

test.each(['jsonl.gz', 'jsonl.zst'] as const)(
  'files one behind the other, as the archive merges them: %s',
  async (name) => {
    const path = join(folder, `${randomUUID()}.${name}`)
    const parts = await Promise.all(
      [['{"n":1}', '{"n":2}'], ['{"n":3}'], ['{"n":4}']].map((texts) => fileOf(name, texts)),
    )
    writeFileSync(path, Buffer.concat(parts.map(({ bytes }) => bytes)))
    const { bytes } = await engine.run({
      sql: `SELECT n FROM file('${path}', 'JSONEachRow', 'n Int32')`,
      params: new Map(),
      settings: {},
      format: 'TabSeparated',
      queryId: randomUUID(),
      lane: 'ask',
    })
    expect(bytes.toString()).toBe('1\n2\n3\n4\n')
  },
)

const dropNulls = (row: unknown): object =>
  Object.fromEntries(Object.entries(row as object).filter(([, value]) => value !== null))

test('Parquet', async () => {
  const rows = await read('parquet', EVENTS, '*', 'Parquet')
  expect(rows).toHaveLength(EVENTS.length)
  expect(rows.slice(0, 3).map(dropNulls)).toEqual([
    {
      'keen.timestamp': '2025-01-01 00:00:00.000',
      'keen.created_at': '2025-01-01 00:00:00.005',
      'keen.id': uuid(0),
      n: '9007199254740993',
      f: 0.5,
      list: '[1,{"a":2}]',
      mixed: '1',
      s: 'a, "b"\r\nc',
      'user.first': true,
      'user.plan': 'pro',
    },
    {
      'keen.timestamp': '2025-01-01 00:00:01.000',
      'keen.created_at': '2025-01-01 00:00:01.005',
      'keen.id': uuid(1),
      n: '-1',
      f: -0,
      mixed: 'one',
      s: '',
      user: 'ted',
      _rest: '{"":1}',
    },
    {
      'keen.timestamp': '2025-01-01 00:00:02.000',
      'keen.created_at': '2025-01-01 00:00:02.005',
      'keen.id': uuid(2),
    },
  ])
  const [types] = await read('parquet', EVENTS, 'toTypeName(`keen.timestamp`) AS t, toTypeName(n) AS n', 'Parquet')
  expect(types).toEqual({ t: "DateTime64(3, 'UTC')", n: 'Nullable(Int64)' })
  // Row groups whose bounds say no are passed over: the bounds must be right.
  for (const where of [
    'n > 9007199254740992',
    'n < 0',
    "s > 'a, '",
    'f < 0.5',
    "user = 'ted'",
    "`user.plan` >= 'pro'",
  ]) {
    expect(await read('parquet', EVENTS, 'count() AS c', 'Parquet', where), where).toEqual([{ c: '1' }])
  }
})

test('Parquet with no events, and with row groups where a column has none of its values', async () => {
  expect(await read('parquet', [], 'count() AS c', 'Parquet')).toEqual([{ c: '0' }])
  const texts = Array.from({ length: 40_001 }, (_, i) => (i === 40_000 ? '{"b":true,"n":1,"f":0.5,"s":"x"}' : '{}'))
  expect(
    await read('parquet', texts, 'count() AS c, countIf(b) AS b, sum(n) AS n, sum(f) AS f, max(s) AS s', 'Parquet'),
  ).toEqual([{ c: '40001', b: '1', n: '1', f: 0.5, s: 'x' }])
})

test('CSV', async () => {
  const rows = await read('csv.gz', EVENTS, '`keen.id` AS id, n, user, s, `user.plan` AS plan, list', 'CSVWithNames')
  expect(rows).toHaveLength(EVENTS.length)
  expect(rows.slice(0, 3)).toEqual([
    { id: uuid(0), n: '9007199254740993', user: null, s: 'a, "b"\r\nc', plan: 'pro', list: '[1,{"a":2}]' },
    { id: uuid(1), n: '-1', user: 'ted', s: '', plan: null, list: null },
    { id: uuid(2), n: null, user: null, s: null, plan: null, list: null },
  ])
})

test('Avro', async () => {
  const rows = await read('avro', EVENTS, '*', 'Avro')
  expect(rows).toEqual(
    EVENTS.map((properties, i) => ({
      keen_id: uuid(i),
      keen_timestamp: new Date(T0 + i * 1_000).toISOString().replace('T', ' ').replace('Z', ''),
      keen_created_at: new Date(T0 + i * 1_000 + 5).toISOString().replace('T', ' ').replace('Z', ''),
      properties,
    })),
  )
})

test.each(['jsonl.gz', 'jsonl.zst'] as const)('%s', async (name) => {
  const rows = await read(name, EVENTS.slice(0, 1), 'n, f, mixed', 'JSONEachRow')
  expect(rows).toEqual([{ n: '9007199254740993', f: 0.5, mixed: '1' }])
})
