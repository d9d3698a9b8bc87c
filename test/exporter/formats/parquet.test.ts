import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import { bytesOf, encodeAs, eventsOf, fileOf, inBatches, T0, uuid } from './file-events.ts'
import { readParquet } from './read-parquet.ts'

/** Each column's type and values, without `keen`'s. */
async function columnsOf(texts: readonly string[]) {
  const { bytes, kept } = await fileOf('parquet', texts)
  const { types, rows } = await readParquet(bytes)
  const columns = Object.entries(types).filter(([name]) => !name.startsWith('keen.'))
  return {
    kept,
    columns: Object.fromEntries(columns.map(([name, type]) => [name, [type, ...rows.map((row) => row[name] ?? null)]])),
  }
}

test('keen’s columns come first: times in milliseconds UTC, the id as text', async () => {
  const { bytes } = await fileOf('parquet', ['{"a":1}', '{}'])
  const { rows, types } = await readParquet(bytes)
  expect(rows).toEqual([
    { 'keen.timestamp': new Date(T0), 'keen.created_at': new Date(T0 + 5), 'keen.id': uuid(0), a: 1n },
    { 'keen.timestamp': new Date(T0 + 1_000), 'keen.created_at': new Date(T0 + 1_005), 'keen.id': uuid(1), a: null },
  ])
  expect(Object.keys(types)).toEqual(['keen.timestamp', 'keen.created_at', 'keen.id', 'a'])
  const [, timestamp] = parquetMetadata(new Uint8Array(bytes).buffer).schema
  expect(timestamp?.logical_type).toEqual({ type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' })
})

describe('a column has the type of all its values', () => {
  test.each([
    ['booleans', ['true', 'false', 'null'], ['BOOLEAN', true, false, null], {}],
    ['whole numbers', ['1', '-2.0', '1e3'], ['INT64', 1n, -2n, 1000n], {}],
    [
      'whole numbers up to 64 bits',
      ['9007199254740993', '9223372036854775807', '-9223372036854775808'],
      ['INT64', 9007199254740993n, 9223372036854775807n, -9223372036854775808n],
      {},
    ],
    ['doubles', ['0.1', '1.10', '1e300', '3'], ['DOUBLE', 0.1, 1.1, 1e300, 3], {}],
    ['a zero below zero', ['0', '-0', '-0', '-0', '-0.0'], ['DOUBLE', 0, -0, -0, -0, -0], {}],
    [
      'numbers beyond doubles',
      ['1e400', '0.5', '0.10000000000000000001', '-3'],
      ['TEXT', '1e400', '0.5', '0.10000000000000000001', '-3'],
      { not_exact: 4 },
    ],
    [
      'a whole number that is no double among doubles',
      ['9007199254740993', '0.5'],
      ['TEXT', '9007199254740993', '0.5'],
      { not_exact: 2 },
    ],
    ['a whole number beyond 64 bits', ['9223372036854775808'], ['TEXT', '9223372036854775808'], { not_exact: 1 }],
    ['strings', ['"a"', '""', 'null'], ['TEXT', 'a', '', null], {}],
    [
      'several types',
      ['"a"', '1', 'true', '-0', '9007199254740993', '[1]', '{}'],
      ['TEXT', 'a', '1', 'true', '-0', '9007199254740993', '[1]', '{}'],
      { mixed: 4, array: 1, empty_object: 1 },
    ],
    [
      'arrays, with all digits',
      ['[]', '[1,{"x":9007199254740993,"y":[-0]}]'],
      ['TEXT', '[]', '[1,{"x":9007199254740993,"y":[-0]}]'],
      { array: 2 },
    ],
    ['halves of surrogate pairs', ['"\\ud800a"', '"\\ud83d\\ude00"'], ['TEXT', '\ufffda', '😀'], { lone_surrogate: 1 }],
  ])('%s', async (_, values, column, kept) => {
    expect(await columnsOf(values.map((value) => `{"v":${value}}`))).toEqual({ columns: { v: column }, kept })
  })
})

test('nested names are dotted and sorted by code point; an object here and a number there has both columns', async () => {
  expect(await columnsOf(['{"user":{"plan":"pro","age":1}}', '{"user":7,"\u{1f600}":1,"\uffee":1,"Z":null}'])).toEqual({
    columns: {
      user: ['INT64', null, 7n],
      'user.age': ['INT64', 1n, null],
      'user.plan': ['TEXT', 'pro', null],
      '\uffee': ['INT64', null, 1n],
      '\u{1f600}': ['INT64', null, 1n],
    },
    kept: {},
  })
  const { columns } = await columnsOf(['{"b":1,"\u{1f600}":1,"\uffee":1,"a":1,"a.c":1,"a":{"b":1}}'])
  expect(Object.keys(columns)).toEqual(['a.b', 'a.c', 'b', '\uffee', '\u{1f600}'])
})

test('a name that is taken, an empty one, and keen’s own go to _rest, as they were', async () => {
  const { columns, kept } = await columnsOf([
    '{"a.b":1,"a":{"b":9007199254740993},"":{"x":1},"_rest":"mine","keen":{"id":"x","note":"y"},"__proto__":{"":0}}',
    '{"a":{"b":2}}',
    '{"a.b":3}',
  ])
  expect(columns).toEqual({
    'a.b': ['INT64', 1n, null, 3n],
    _rest: [
      'TEXT',
      '{"a":{"b":9007199254740993},"":{"x":1},"_rest":"mine","keen":{"id":"x"},"__proto__":{"":0}}',
      '{"a":{"b":2}}',
      null,
    ],
  })
  expect(kept).toEqual({ collision: 4, unnamed: 2 })
})

test('names that differ in halves of surrogate pairs alone are one name', async () => {
  const { columns, kept } = await columnsOf(['{"\\ud800":1,"\\udc00":2}'])
  expect(columns).toEqual({ '\ufffd': ['INT64', 1n], _rest: ['TEXT', '{"\\udc00":2}'] })
  expect(kept).toEqual({ collision: 1 })
})

test('an object below the tenth name is text', async () => {
  const nested = (depth: number, inner: string): string => `${'{"a":'.repeat(depth)}${inner}${'}'.repeat(depth)}`
  const { columns, kept } = await columnsOf([nested(10, '1'), nested(11, '9007199254740993'), nested(100, 'true')])
  const name = Array(10).fill('a').join('.')
  expect(columns).toEqual({ [name]: ['TEXT', '1', '{"a":9007199254740993}', nested(90, 'true')] })
  expect(kept).toEqual({ too_deep: 2, mixed: 1 })
})

test('after 2,000 columns the rest of an event is one text', async () => {
  const wide = (from: number, to: number): string =>
    `{${Array.from({ length: to - from }, (_, i) => `"p${String(from + i).padStart(4, '0')}":${from + i}`).join(',')}}`
  const { columns, kept } = await columnsOf([wide(0, 1_500), wide(1_000, 2_003), wide(2_000, 2_001), '{"p0000":1.5}'])
  expect(Object.keys(columns)).toHaveLength(2_001)
  expect(columns['p0000']).toEqual(['DOUBLE', 0, null, null, 1.5])
  expect(columns['p1999']).toEqual(['INT64', null, 1999n, null, null])
  expect(columns['_rest']).toEqual(['TEXT', null, '{"p2000":2000,"p2001":2001,"p2002":2002}', '{"p2000":2000}', null])
  expect(kept).toEqual({ too_many_columns: 4 })
})

test('every column chunk has its bounds and its number of nulls', async () => {
  const { bytes } = await fileOf('parquet', ['{"n":3,"s":"b"}', '{"n":-1}', '{"s":"a"}', '{}'])
  const { row_groups } = parquetMetadata(new Uint8Array(bytes).buffer)
  const statistics = row_groups[0]?.columns.map(({ meta_data }) => meta_data)
  expect(row_groups).toHaveLength(1)
  expect(statistics?.map((column) => column?.codec)).toEqual(Array(5).fill('ZSTD'))
  expect(statistics?.map((column) => column?.statistics)).toMatchObject([
    { min_value: new Date(T0), max_value: new Date(T0 + 3_000), null_count: 0n },
    { min_value: new Date(T0 + 5), max_value: new Date(T0 + 3_005), null_count: 0n },
    // Text bounds are cut to 16 bytes, the upper one rounded up.
    { min_value: uuid(0).slice(0, 16), null_count: 0n },
    { min_value: -1n, max_value: 3n, null_count: 2n },
    { min_value: 'a', max_value: 'b', null_count: 2n },
  ])
})

test('no events are a file with keen’s columns', async () => {
  const { bytes, kept } = await fileOf('parquet', [])
  const { rows, types } = await readParquet(bytes)
  expect({ rows, columns: Object.keys(types), kept }).toEqual({
    rows: [],
    columns: ['keen.timestamp', 'keen.created_at', 'keen.id'],
    kept: {},
  })
})

test('a row group has at most 20,000 events and 10 million cells, and ends after 32 MiB of JSON text', async () => {
  const groupsOf = async (texts: readonly string[]) => {
    const { bytes } = await fileOf('parquet', texts)
    return parquetMetadata(new Uint8Array(bytes).buffer).row_groups.map((group) => Number(group.num_rows))
  }
  expect(await groupsOf(Array.from({ length: 45_000 }, (_, i) => `{"n":${i}}`))).toEqual([20_000, 20_000, 5_000])
  const wide = `{${Array.from({ length: 1_997 }, (_, i) => `"p${i}":${i}`).join(',')}}`
  expect(await groupsOf([wide, ...Array<string>(5_500).fill('{}')])).toEqual([5_000, 501])
  expect(await groupsOf(Array(70).fill(`{"text":"${'x'.repeat(1 << 20)}"}`))).toEqual([32, 32, 6])
})

test('memory does not grow with the number of events', async () => {
  const EVENTS = 200_000
  const BATCH = 500
  // Made as they are read: what grows is the file's own.
  async function* events() {
    for (let from = 0; from < EVENTS; from += BATCH) {
      yield eventsOf(
        Array.from({ length: BATCH }, (_, i) => `{"n":${from + i},"page":"/p/${(from + i) % 50}","f":0.5}`),
      )
    }
  }
  let read = 0
  let passes = 0
  const counted = () => {
    passes += 1
    read = 0
    return (async function* () {
      for await (const batch of events()) {
        read += batch.length
        yield batch
      }
    })()
  }
  let readAtLast = 0
  let peak = 0
  const before = process.memoryUsage().rss
  for await (const _ of encodeAs('parquet', counted)) {
    // A row group leaves before the next one's events are read.
    expect(read - readAtLast).toBeLessThanOrEqual(20_000 + BATCH)
    readAtLast = read
    peak = Math.max(peak, process.memoryUsage().rss)
  }
  expect({ passes, read }).toEqual({ passes: 2, read: EVENTS })
  expect((peak - before) / 2 ** 20).toBeLessThan(400)
})

test('events that change between the two passes are an error, not a wrong file', async () => {
  const changing = (first: string, second: string) => {
    let passes = 0
    return () => {
      passes += 1
      return inBatches(eventsOf([passes === 1 ? first : second]))()
    }
  }
  for (const second of ['{"n":"x"}', '{"n":0.5}', '{"m":1}', '{"":1}']) {
    await expect(bytesOf(encodeAs('parquet', changing('{"n":1}', second))), second).rejects.toMatchObject({
      code: 'InternalServerError',
    })
  }
})

test('a reader of one column need not know the others', async () => {
  const { bytes } = await fileOf('parquet', ['{"user":{"plan":"pro"},"n":1}'])
  const rows = await parquetReadObjects({
    file: new Uint8Array(bytes).buffer,
    columns: ['user.plan'],
    compressors: { ZSTD: (input) => zstdDecompressSync(input) },
  })
  expect(rows).toEqual([{ 'user.plan': 'pro' }])
})
