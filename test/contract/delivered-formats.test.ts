import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Delivered } from '../../services/exporter/domain/delivery.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import type { LoggedEvent } from '../../services/shared/events/event.ts'
import { STREAM_FORMATS, type StreamFormat } from '../../services/shared/streams/model.ts'
import { uuid } from '../exporter/formats/file-events.ts'
import { type EventTree, eventTrees, meaning, numberMeaning, type Tree } from '../exporter/formats/generated.ts'
import { lineFor } from '../exporter/formats/line-model.ts'
import { readParquet } from '../exporter/formats/read-parquet.ts'
import { type Cells, expectAllThere, isSameText } from '../exporter/formats/table-model.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { zcat } from '../support/delivered-rows.ts'
import { pythonWith } from '../support/python.ts'
import { bucketServers, bucketsMissing, clickhouseUrl } from '../support/servers.ts'
import { deliverInEachFormat } from './delivered-formats.ts'

const T0 = Date.UTC(2025, 0, 1)
const PLAIN = 500
const signal = AbortSignal.timeout(600_000)
const missing = bucketsMissing()
const python = await pythonWith(['pyarrow==26.0.1', 'fastavro==1.13.1'])
const pythonMissing = 'unavailable' in python ? python.unavailable : undefined
if (pythonMissing !== undefined) process.stdout.write(`Tests with Python's readers are skipped. ${pythonMissing}\n`)

/** `plain`: what applications send. `odd`: what JSON allows. */
type Collection = 'plain' | 'odd'

interface Sent {
  readonly collection: Collection
  readonly id: string
  readonly timestampMs: number
  readonly createdAtMs: number
  readonly tree: EventTree
}

const plainText = (i: number): string =>
  `{"n":${i},"big":${9_007_199_254_740_993n + BigInt(i)},"price":${i / 7},"isFirst":${i % 3 === 0},"mixed":${i % 2 === 0 ? i : `"${i}"`},` +
  `"user":{"plan":"${i % 2 === 0 ? 'pro' : 'free'}","city":"Zürich \\"${i}\\", a\\r\\nb"},"list":[${i},{"a":"é"}],` +
  `"empty":"","none":null${i % 5 === 0 ? ',"sometimes":"x"' : ''}}`

const SENT: readonly Sent[] = [
  ...Array.from({ length: PLAIN }, (_, i) => ({ collection: 'plain' as const, tree: treeOf(plainText(i)) })),
  ...fc
    .sample(eventTrees, { seed: 20_250_101, numRuns: 40 })
    .flat()
    .map((tree) => ({ collection: 'odd' as const, tree })),
].map((one, i) => ({ ...one, id: uuid(i), timestampMs: T0 + i * 1_000, createdAtMs: T0 + i * 1_000 + 5 }))
const BY_ID = new Map(SENT.map((one) => [one.id, one]))
const sentIn = (collection: Collection): readonly Sent[] => SENT.filter((one) => one.collection === collection)

/** JSON text as a tree. */
function treeOf(json: string): EventTree {
  const tree = JSON.parse(json, ((_: string, value: unknown, { source }: { source?: string }): Tree => {
    if (value === null) return { kind: 'null', text: 'null' }
    if (Array.isArray(value)) {
      return { kind: 'array', text: `[${(value as Tree[]).map(({ text }) => text).join()}]` }
    }
    if (typeof value === 'object') {
      const entries = Object.entries(value as Record<string, Tree>)
      return {
        kind: 'object',
        text: `{${entries.map(([name, { text }]) => `${JSON.stringify(name)}:${text}`).join()}}`,
        entries,
      }
    }
    const text = source ?? ''
    return typeof value === 'string' ? { kind: 'string', text, value } : { kind: typeof value as 'number', text }
  }) as (key: string, value: unknown) => unknown) as Tree
  if (tree.kind !== 'object') throw new Error('no event')
  return tree
}

const toLog = ({ collection, id, timestampMs, createdAtMs, tree }: Sent): LoggedEvent => ({
  project: 'p',
  collection,
  id: Buffer.from(id.replaceAll('-', ''), 'hex'),
  timestampMs,
  createdAtMs,
  repeatKey: null,
  properties: Buffer.from(tree.text),
})

/** The events in a file's order, by their ids: each of the collection once. */
function inOrder(ids: readonly unknown[], collection: Collection): readonly Sent[] {
  expect(ids.map(String).toSorted()).toEqual(sentIn(collection).map(({ id }) => id))
  return ids.map((id) => BY_ID.get(String(id)) ?? expect.fail('unreachable'))
}

const KEEN = ['keen.timestamp', 'keen.created_at', 'keen.id']
const withoutKeen = (cells: Iterable<readonly [string, unknown]>): Cells =>
  new Map([...cells].filter(([name, value]) => value !== null && !KEEN.includes(name)))

describe.skipIf(missing !== undefined)(`delivered files${missing === undefined ? '' : `: ${missing}`}`, () => {
  let name: string
  let bucket: Bucket
  const keys = new Map<string, string>()
  const keyOf = (format: StreamFormat, collection: Collection): string =>
    keys.get(`${format}/${collection}`) ?? expect.fail(`no ${format} of ${collection}`)
  const bytesOf = async (format: StreamFormat, collection: Collection): Promise<Buffer> =>
    (await readWhole(bucket, keyOf(format, collection), signal)) ?? Buffer.alloc(0)

  beforeAll(async () => {
    name = await makeS3Bucket()
    bucket = s3BucketNamed(name)
    const archive = s3BucketNamed(await makeS3Bucket())
    await deliverInEachFormat(SENT.map(toLog), archive, bucket)
    await archive.close()
    for await (const { key } of bucket.list('', { signal })) {
      if (!key.includes('/_manifests/')) continue
      const { format, files } = JSON.parse(String(await readWhole(bucket, key, signal))) as Delivered
      for (const file of files) keys.set(`${format}/${file.collection}`, file.key)
    }
    expect(keys.size).toBe(2 * STREAM_FORMATS.length)
  })
  afterAll(async () => bucket.close())

  describe('ClickHouse, from the S3 server', () => {
    const ask = async (
      format: StreamFormat,
      collection: Collection,
      inputFormat: string,
      select = '*',
    ): Promise<readonly Record<string, unknown>[]> => {
      const { accessKeyId, secretAccessKey } = S3_USER
      const from = `s3('${bucketServers().s3}/${name}/${keyOf(format, collection)}', '${accessKeyId}', '${secretAccessKey}', '${inputFormat}')`
      const settings = 'SETTINGS output_format_json_quote_64bit_integers = 1'
      const body = `SELECT ${select} FROM ${from} ${settings} FORMAT JSONEachRow`
      const response = await fetch(clickhouseUrl(), { method: 'POST', body })
      const answer = await response.text()
      if (!response.ok) throw new Error(answer)
      return answer
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    }
    const time = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').replace('Z', '')
    const isSameCell = (_: string, cell: unknown, value: Tree): boolean =>
      value.kind === 'boolean'
        ? String(cell) === value.text
        : value.kind === 'number'
          ? numberMeaning(String(cell)) === numberMeaning(value.text)
          : isSameText(cell, value)

    test('Parquet: every value, and the odd ones’ rows', async () => {
      const rows = await ask('parquet', 'plain', 'Parquet')
      const events = inOrder(
        rows.map((row) => row['keen.id']),
        'plain',
      )
      expect(rows.map((row) => row['keen.timestamp'])).toEqual(events.map(({ timestampMs }) => time(timestampMs)))
      expect(rows.map((row) => row['keen.created_at'])).toEqual(events.map(({ createdAtMs }) => time(createdAtMs)))
      expectAllThere(
        events.map(({ tree }) => tree),
        rows.map((row) => withoutKeen(Object.entries(row))),
        isSameCell,
      )
      const odd = await ask('parquet', 'odd', 'Parquet', '`keen.id` AS id')
      inOrder(
        odd.map(({ id }) => id),
        'odd',
      )
    })

    test('CSV: every value', async () => {
      const columns = ['n', 'big', 'price', 'isFirst', 'mixed', 'user.plan', 'user.city', 'list', 'sometimes']
      const select = ['`keen.id` AS id', ...columns.map((column) => `toString(\`${column}\`) AS \`_${column}\``)].join()
      const rows = await ask('csv.gz', 'plain', 'CSVWithNames', select)
      const events = inOrder(
        rows.map(({ id }) => id),
        'plain',
      )
      for (const [i, { tree }] of events.entries()) {
        const sent = JSON.parse(tree.text) as Record<string, unknown>
        const user = sent['user'] as Record<string, unknown>
        expect(rows[i]).toMatchObject({
          _n: String(sent['n']),
          _mixed: String(sent['mixed']),
          '_user.plan': user['plan'],
          '_user.city': user['city'],
          _list: JSON.stringify(sent['list']),
          _sometimes: sent['sometimes'] ?? null,
        })
        expect(Number(rows[i]?.['_price'])).toBe(sent['price'])
        expect(tree.text).toContain(`"big":${String(rows[i]?.['_big'])},`)
      }
    })

    test.each(['plain', 'odd'] as const)('Avro: every event’s text, %s', async (collection) => {
      const rows = await ask('avro', collection, 'Avro')
      const events = inOrder(
        rows.map((row) => row['keen_id']),
        collection,
      )
      for (const [i, { tree, timestampMs, createdAtMs }] of events.entries()) {
        expect(rows[i]).toMatchObject({ keen_timestamp: time(timestampMs), keen_created_at: time(createdAtMs) })
        expect(meaning(String(rows[i]?.['properties']))).toBe(meaning(tree.text))
      }
    })

    test.each(['jsonl.gz', 'jsonl.zst'] as const)('JSON lines: every line, %s', async (format) => {
      for (const collection of ['plain', 'odd'] as const) {
        const rows = await ask(format, collection, 'JSONAsString')
        expectLines(
          rows.map(({ json }) => String(json)),
          collection,
        )
      }
      const [sums] = await ask(
        format,
        'plain',
        'JSONEachRow',
        'sum(n) AS n, count() AS c, uniqExact(user.city) AS cities',
      )
      expect(sums).toEqual({ n: String((PLAIN * (PLAIN - 1)) / 2), c: String(PLAIN), cities: String(PLAIN) })
    })
  })

  const expectLines = (lines: readonly string[], collection: Collection): void => {
    const idOf = (line: string): unknown => (JSON.parse(line) as { keen: { id: string } }).keen.id
    const events = inOrder(lines.map(idOf), collection)
    for (const [i, { tree, id, timestampMs, createdAtMs }] of events.entries()) {
      expect(meaning(lines[i] ?? '')).toBe(meaning(lineFor(tree, id, timestampMs, createdAtMs)))
    }
  }
  const expectTyped = (
    rows: readonly (readonly (readonly [string, string, string])[])[],
    collection: Collection,
    timeText: (ms: number) => string,
    isOfColumn: (type: string, text: string, value: Tree) => boolean,
  ): void => {
    const of = (row: readonly (readonly [string, string, string])[], column: string) =>
      row.find(([one]) => one === column)?.[2]
    const events = inOrder(
      rows.map((row) => of(row, 'keen.id')),
      collection,
    )
    for (const [i, { timestampMs, createdAtMs }] of events.entries()) {
      const times = ['keen.timestamp', 'keen.created_at'].map((column) => of(rows[i] ?? [], column))
      expect(times).toEqual([timeText(timestampMs), timeText(createdAtMs)])
    }
    expectAllThere(
      events.map(({ tree }) => tree),
      rows.map((row) => {
        const cells = withoutKeen(row.map(([column, type, text]) => [column, { type, text }]))
        const rest = of(row, '_rest')
        return rest === undefined ? cells : new Map([...cells, ['_rest', rest]])
      }),
      (_, cell, value) => {
        const { type, text } = cell as { type: string; text: string }
        return isOfColumn(type, text, value)
      },
    )
  }

  test.each(['plain', 'odd'] as const)('hyparquet and gzip: every event, %s', async (collection) => {
    const { rows } = await readParquet(await bytesOf('parquet', collection))
    const events = inOrder(
      rows.map((row) => row['keen.id']),
      collection,
    )
    expectAllThere(
      events.map(({ tree }) => tree),
      rows.map((row) => withoutKeen(Object.entries(row))),
      (_, cell, value) =>
        typeof cell === 'string'
          ? isSameText(cell, value)
          : isNumberOrFlag(Object.is(cell, -0) ? '-0' : String(cell), value),
    )
    expectLines((await zcat(await bytesOf('jsonl.gz', collection))).split('\n').slice(0, -1), collection)
  })

  test.skipIf(pythonMissing !== undefined)(
    `pyarrow and fastavro, from the S3 server: every event in every format${pythonMissing === undefined ? '' : ` (${pythonMissing})`}`,
    async () => {
      const program = 'program' in python ? python.program : ''
      const script = join(import.meta.dirname, '../support/read-delivered.py')
      const { accessKeyId, secretAccessKey } = S3_USER
      const server = [new URL(bucketServers().s3).host, accessKeyId, secretAccessKey, name]
      const { stdout } = await promisify(execFile)(program, [script, ...server, ...keys.values()], {
        maxBuffer: 1 << 28,
        timeout: 120_000,
      })
      const rows = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as PythonRow)
      const byKey = Map.groupBy(rows, ({ key }) => key)
      expect([...byKey.keys()].toSorted()).toEqual([...keys.values()].toSorted())
      for (const collection of ['plain', 'odd'] as const) {
        const of = (format: StreamFormat): readonly PythonRow[] => byKey.get(keyOf(format, collection)) ?? []
        const cells = (format: StreamFormat) => of(format).map((row) => row.cells ?? [])
        for (const format of ['jsonl.gz', 'jsonl.zst'] as const) {
          expectLines(
            of(format).map(({ line }) => line ?? ''),
            collection,
          )
        }
        expectTyped(cells('parquet'), collection, String, (type, text, value) =>
          type === 'string' ? isSameText(text, value) : isNumberOrFlag(text, value),
        )
        expectTyped(
          cells('csv.gz'),
          collection,
          (ms) => new Date(ms).toISOString(),
          (type, text, value) => type === 'string' && isSameText(text, value),
        )
        const records = of('avro').map(({ record }) => record ?? expect.fail('no record'))
        const events = inOrder(
          records.map(({ keen_id }) => keen_id),
          collection,
        )
        for (const [i, { tree, timestampMs, createdAtMs }] of events.entries()) {
          const { properties, ...times } = records[i] ?? expect.fail('unreachable')
          expect(times).toMatchObject({ keen_timestamp: timestampMs, keen_created_at: createdAtMs })
          expect(meaning(properties)).toBe(meaning(tree.text))
        }
      }
    },
  )
})

interface PythonRow {
  readonly key: string
  readonly line?: string
  readonly record?: { keen_id: string; keen_timestamp: number; keen_created_at: number; properties: string }
  readonly cells?: readonly (readonly [string, string, string])[]
}

const isNumberOrFlag = (text: string, value: Tree): boolean =>
  value.kind === 'number'
    ? numberMeaning(text) === numberMeaning(value.text)
    : value.kind === 'boolean' && text === value.text
