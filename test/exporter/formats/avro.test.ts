import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import avro from 'avsc'
import { expect, test } from 'vitest'
import { encodeAs, eventsOf, fileOf, inBatches, bytesOf } from './file-events.ts'
import { readAvro } from './read-avro.ts'

const SCHEMA = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', '..', 'schemas', 'avro', 'exported-event.v1.avsc'), 'utf8'),
)

test('the file says its schema and codec', async () => {
  const { bytes } = await fileOf('avro', ['{"a":1}'])
  const decoder = new avro.streams.BlockDecoder()
  const metadata = new Promise((resolve) =>
    decoder.on('metadata', (type, codec) => resolve({ schema: type.schema({ exportAttrs: true }), codec })),
  )
  decoder.on('data', () => undefined).end(bytes)
  expect(await metadata).toMatchObject({ codec: 'deflate', schema: { name: 'tributary.ExportedEvent' } })
  expect(bytes.includes(JSON.stringify(SCHEMA))).toBe(true)
  expect(SCHEMA.fields.map((field: { name: string }) => field.name)).toEqual([
    'keen_id',
    'keen_timestamp',
    'keen_created_at',
    'properties',
  ])
})

test('the sync marker is of the content: the same for the same events, another for others', async () => {
  const [one, same, other] = await Promise.all(
    [['{"a":1}'], ['{"a":1}'], ['{"a":2}']].map((texts) => fileOf('avro', texts)),
  )
  const markerOf = (file: typeof one) => file?.bytes.subarray(-16).toString('hex')
  expect(markerOf(same)).toBe(markerOf(one))
  expect(markerOf(other)).not.toBe(markerOf(one))
  // It ends the header and the only block.
  const marker = one?.bytes.subarray(-16) ?? ''
  expect(one?.bytes.indexOf(marker)).toBeLessThan(one?.bytes.lastIndexOf(marker) ?? 0)
})

test('many events are many blocks, with text longer than a block and times before 1970', async () => {
  const texts = Array.from({ length: 3_000 }, (_, i) => `{"i":${i},"é":"${'x'.repeat(i === 1_000 ? 600_000 : 300)}"}`)
  const { bytes } = await fileOf('avro', texts)
  const records = (await readAvro(bytes)) as { properties: string }[]
  expect(records.map(({ properties }) => properties)).toEqual(texts)
  const marker = bytes.subarray(-16)
  let markers = 0
  for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 1)) markers += 1
  // One in the header; blocks of 256 KiB: one before the long event, one that ends with it, and three of 730 KB.
  expect(markers).toBe(1 + 5)
  const early = eventsOf(['{}']).map((event) => ({ ...event, timestampMs: -1, createdAtMs: -(2 ** 40) }))
  expect(await readAvro(await bytesOf(encodeAs('avro', inBatches(early))))).toMatchObject([
    { keen_timestamp: -1, keen_created_at: -(2 ** 40) },
  ])
  expect(await readAvro((await fileOf('avro', [])).bytes)).toEqual([])
})
