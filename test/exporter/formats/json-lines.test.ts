import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { formatOf } from '../../../services/exporter/formats/index.ts'
import { bytesOf, encodeAs, eventsOf, fileOf, inBatches, uuid } from './file-events.ts'

const keen = (id = uuid(0)): string =>
  `"timestamp":"2025-01-01T00:00:00.000Z","created_at":"2025-01-01T00:00:00.005Z","id":"${id}"`

test.each([
  ['{}', `{"keen":{${keen()}}}`],
  ['{ \n }', `{"keen":{${keen()}}}`],
  [
    '{"a":1.10,"b":9007199254740993,"c":-0,"d":1e400}',
    `{"keen":{${keen()}},"a":1.10,"b":9007199254740993,"c":-0,"d":1e400}`,
  ],
  ['{"s":"\\u00e9 é \\ud800 \\n}"}', `{"keen":{${keen()}},"s":"\\u00e9 é \\ud800 \\n}"}`],
  // Line breaks between tokens would end the line.
  [' {"a" :\r\n1}\n', `{"keen":{${keen()}}, "a" :  1}`.replace(', "a"', ',"a"')],
  // Somebody's own `keen`, and what only looks like one.
  [
    '{"x":1.10,"keen":{"id":"mine","addons":[2.0]}}',
    `{"keen":{"id":"${uuid(0)}","addons":[2.0],"timestamp":"2025-01-01T00:00:00.000Z","created_at":"2025-01-01T00:00:00.005Z"},"x":1.10}`,
  ],
  ['{"\\u006been":1,"x":1e2}', `{"keen":{${keen()}},"x":1e2}`],
  ['{"ke\\u0065n":[],"keep":1}', `{"keen":{${keen()}},"keep":1}`],
  ['{"a":{"keen":1.0},"b":"keen"}', `{"keen":{${keen()}},"a":{"keen":1.0},"b":"keen"}`],
])('%s', async (properties, line) => {
  const { bytes } = await fileOf('jsonl.gz', [properties])
  expect(gunzipSync(bytes).toString()).toBe(`${line}\n`)
  expect(zstdDecompressSync((await fileOf('jsonl.zst', [properties])).bytes).toString()).toBe(`${line}\n`)
})

test('no events are no lines; the header of gzip has no time', async () => {
  const { bytes, kept } = await fileOf('jsonl.gz', [])
  expect(kept).toBeUndefined()
  expect(gunzipSync(bytes)).toHaveLength(0)
  expect(bytes.subarray(0, 8).toString('hex')).toBe('1f8b080000000000')
  expect(zstdDecompressSync((await fileOf('jsonl.zst', [])).bytes)).toHaveLength(0)
})

test('what the source throws is thrown, and a reader that stops ends the source', async () => {
  for (const name of ['jsonl.gz', 'jsonl.zst', 'csv.gz', 'avro', 'parquet'] as const) {
    const failing = async function* () {
      yield eventsOf(['{"a":1}'])
      throw new Error('the log is gone')
    }
    await expect(bytesOf(encodeAs(name, failing)), name).rejects.toThrow('the log is gone')
    let open = 0
    const events = eventsOf(Array.from({ length: 50_000 }, (_, i) => `{"n":${Math.sin(i)}}`))
    const watched = async function* () {
      open += 1
      try {
        yield* inBatches(events)()
      } finally {
        open -= 1
      }
    }
    for await (const _ of encodeAs(name, watched)) break
    await expect.poll(() => open, { message: name }).toBe(0)
  }
})

test('a format is known by its name', () => {
  for (const name of ['jsonl.gz', 'jsonl.zst', 'csv.gz', 'avro', 'parquet'] as const) {
    expect(formatOf(name)).toMatchObject({ name, extension: name })
  }
})
