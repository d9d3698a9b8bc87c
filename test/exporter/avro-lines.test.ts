import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { deflateRawSync } from 'node:zlib'
import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { linesOfAvro } from '../../services/exporter/archive/avro-lines.ts'
import { BLOCK_BYTES } from '../../services/exporter/formats/block-packer.ts'
import { draftObject } from '../../services/exporter/archive/object-draft.ts'
import { readObject } from '../../services/exporter/archive/read-archive.ts'
import { sha256Of } from '../../services/exporter/archive/sha256.ts'
import { ARCHIVE_FORMATS } from '../../services/exporter/domain/archive-format.ts'
import { type ArchivedEvent, lineBytesMax, parseLine, writeLine } from '../../services/exporter/domain/line.ts'
import { encodeEvent, frameEvent } from '../../services/shared/events/codec.ts'
import type { ArchivedObject } from '../../services/exporter/domain/manifest.ts'
import { AppError } from '../../services/shared/errors.ts'
import { idText } from '../../services/shared/events/event.ts'
import { longBytesMax, writeBigLong, writeLong } from '../../services/shared/events/wire.ts'
import { ChdbEngine } from '../../services/shared/warehouse/chdb-engine.ts'
import { bytesOf } from './formats/file-events.ts'
import { readAvro } from './formats/read-avro.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-avro-lines-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const never = new AbortController().signal

interface Line {
  readonly id: Buffer
  readonly timestampMs: number
  readonly createdAtMs: number
  readonly repeatKey: Buffer | null
  readonly offset: bigint
  readonly properties: Buffer
}

function textOf({ offset, properties, ...head }: Line): Buffer {
  const framed = frameEvent(encodeEvent({ ...head, project: '', collection: '', properties }))
  const line = Buffer.alloc(lineBytesMax(framed))
  return line.subarray(0, writeLine(line, 0, framed, offset))
}

const anyTime = fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2299, 11, 31, 23, 59, 59, 999) })
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes))
const anyLine: fc.Arbitrary<Line> = fc.record({
  id: sixteen,
  timestampMs: anyTime,
  createdAtMs: anyTime,
  repeatKey: fc.option(sixteen),
  offset: fc.oneof(fc.maxSafeNat().map(BigInt), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n })),
  properties: fc.oneof(
    fc.jsonValue().map((value) => Buffer.from(JSON.stringify({ value }))),
    fc.integer({ min: 0, max: 300_000 }).map((size) => Buffer.from(`{"a":"${'é'.repeat(size)}"}`)),
  ),
})
const anyLines = fc.array(anyLine, { maxLength: 30 })

/** In pieces of sizes that these numbers choose. */
async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length)
    yield bytes.subarray(at, at + size)
    at += size
  }
}
const anyCut = fc.array(fc.oneof(fc.integer({ min: 1_000, max: 400_000 }), fc.integer({ min: 200, max: 2_000 })), {
  minLength: 1,
  maxLength: 5,
})

/** In batches of so many. */
async function* inBatches(lines: readonly Line[], sizes: readonly number[]): AsyncGenerator<readonly Buffer[]> {
  for (let at = 0, i = 0; at < lines.length; i += 1) {
    const size = sizes[i % sizes.length] ?? lines.length
    yield lines.slice(at, at + size).map(textOf)
    at += size
  }
}
const anyBatches = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 })

async function fileOf(lines: readonly Line[], sizes: readonly number[] = [100]): Promise<Buffer> {
  const draft = await draftObject(inBatches(lines, sizes), 'avro', folder)
  const bytes = await bytesOf(draft.body.open())
  await draft.dispose()
  return bytes
}

const fieldsOf = (event: ArchivedEvent | undefined) =>
  event && {
    id: event.id,
    timestampMs: event.timestampMs,
    createdAtMs: event.createdAtMs,
    offset: event.offset,
    repeatKey: event.repeatKey,
    properties: Buffer.from(event.properties),
    line: Buffer.from(event.line),
  }

test('lines come back byte for byte, and make the same file in whatever pieces they came', async () => {
  await fc.assert(
    fc.asyncProperty(anyLines, anyBatches, anyBatches, anyCut, async (lines, one, other, sizes) => {
      const bytes = Buffer.concat(lines.map(textOf))
      const file = await fileOf(lines, one)
      expect((await fileOf(lines, other)).equals(file)).toBe(true)
      expect((await bytesOf(linesOfAvro(cut(file, sizes), bytes.length))).equals(bytes)).toBe(true)
    }),
    { numRuns: 60 },
  )
}, 120_000)

test('blocks of many events end where their sizes say', async () => {
  const lines = Array.from({ length: 5_000 }, (_, i) => ({ ...sampleOf(i), offset: BigInt(i) }))
  const bytes = Buffer.concat(lines.map(textOf))
  const file = await fileOf(lines)
  for (const sizes of [[1], [1_000, 77], [100_000]]) expect((await fileOf(lines, sizes)).equals(file)).toBe(true)
  expect((await bytesOf(linesOfAvro(cut(file, [13]), bytes.length))).equals(bytes)).toBe(true)
  const marker = file.subarray(-16)
  let markers = 0
  for (let at = file.indexOf(marker); at >= 0; at = file.indexOf(marker, at + 1)) markers += 1
  expect(markers).toBe(1 + Math.ceil(bytes.length / BLOCK_BYTES)) // one in the header
})

test('whatever the format, an object has the same content, and its events are the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyLine, { minLength: 1, maxLength: 10 }), anyBatches, async (lines, sizes) => {
      const bytes = Buffer.concat(lines.map(textOf))
      for (const format of ARCHIVE_FORMATS) {
        const draft = await draftObject(inBatches(lines, sizes), format, folder)
        expect(draft).toMatchObject({ contentSha256: sha256Of(bytes), contentBytes: bytes.length })
        const object = objectOf(format, lines.length, bytes, { ...draft, bytes: draft.body.bytes })
        const found = []
        for await (const batch of readObject({ get: async () => draft.body.open() }, object, never)) {
          found.push(...batch.map(fieldsOf))
        }
        expect(found).toEqual(lines.map((line) => fieldsOf(parseLine(textOf(line).subarray(0, -1)))))
        await draft.dispose()
      }
    }),
    { numRuns: 8 },
  )
}, 120_000)

const sampleOf = (n: number): Line => ({
  id: Buffer.alloc(16, n),
  timestampMs: Date.UTC(1969, 11, 31, 23, 59, 59, 999),
  createdAtMs: Date.UTC(2026, 0, 31, 12, 0, n, 7),
  repeatKey: n === 2 ? Buffer.alloc(16, 0xab) : null,
  offset: 2n ** 53n + BigInt(n),
  properties: Buffer.from(`{"n":${n},"text":"é\\n"}`),
})
const SAMPLE: readonly Line[] = [1, 2, 3].map(sampleOf)
const SAMPLE_BYTES = Buffer.concat(SAMPLE.map(textOf))

test('others read the fields: avsc by the checked-in schema, and ClickHouse', async () => {
  const file = await fileOf(SAMPLE)
  const schema = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', '..', 'schemas', 'avro', 'archived-event.v1.avsc'), 'utf8'),
  )
  expect(file.includes(JSON.stringify(schema))).toBe(true)
  const small = SAMPLE.map((line) => ({ ...line, offset: line.offset - 2n ** 53n })) // avsc has numbers
  expect(await readAvro(await fileOf(small))).toEqual(
    small.map(({ id, timestampMs, createdAtMs, offset, repeatKey, properties }) => ({
      id: idText(id),
      timestamp: timestampMs,
      created_at: createdAtMs,
      offset: Number(offset),
      repeat_key: repeatKey?.toString('hex') ?? null,
      properties: properties.toString(),
    })),
  )
  const path = join(folder, `${randomUUID()}.avro`)
  writeFileSync(path, file)
  const engine = new ChdbEngine({ folder: join(folder, 'chdb'), readSessions: 1 })
  try {
    const { bytes } = await engine.run({
      sql: `SELECT toTypeName(id) AS type, *, JSONExtractInt(properties, 'n') AS n FROM file('${path}', 'Avro')`,
      params: new Map(),
      settings: { output_format_json_quote_64bit_integers: 1, session_timezone: 'UTC' },
      format: 'JSONEachRow',
      queryId: randomUUID(),
      lane: 'ask',
    })
    const rows = bytes.toString().trimEnd().split('\n')
    expect(rows.map((row) => JSON.parse(row))).toEqual(
      SAMPLE.map(({ id, offset, repeatKey, properties }, i) => ({
        type: 'UUID',
        id: idText(id),
        timestamp: '1969-12-31 23:59:59.999',
        created_at: `2026-01-31 12:00:0${i + 1}.007`,
        offset: String(offset),
        repeat_key: repeatKey?.toString('hex') ?? null,
        properties: properties.toString(),
        n: String(i + 1),
      })),
    )
  } finally {
    await engine.close()
  }
})

test('what is no line of the archive makes no file', async () => {
  for (const bytes of [Buffer.from('{"id":1}\n'), SAMPLE_BYTES.subarray(0, -1)]) {
    const lines = async function* () {
      yield [bytes]
    }
    await expect(draftObject(lines(), 'avro', folder)).rejects.toMatchObject({ code: 'InternalServerError' })
  }
  expect(await bytesOf(linesOfAvro(cut(await fileOf([]), [9]), 0))).toHaveLength(0)
})

/** `lines` are what is in it; `bytes` and `sha256` are the file's. */
function objectOf(
  format: ArchivedObject['format'],
  events: number,
  lines: Buffer,
  { bytes, sha256 }: Pick<ArchivedObject, 'bytes' | 'sha256'>,
): ArchivedObject {
  const [content_bytes, content_sha256] = [lines.length, sha256Of(lines)]
  const rest = { project: 'p', collection: 'c', hour: '', first: '0', last: '0' }
  return { key: 'k', format, events, content_bytes, content_sha256, bytes, sha256, ...rest }
}

describe('damage', () => {
  const sampleObject = async () => {
    const file = await fileOf(SAMPLE)
    return objectOf('avro', SAMPLE.length, SAMPLE_BYTES, { bytes: file.length, sha256: sha256Of(file) })
  }
  const events = async (file: Buffer | Readable, over: Partial<ArchivedObject> = {}) => {
    const object = { ...(await sampleObject()), ...over }
    let count = 0
    const stored = Buffer.isBuffer(file) ? Readable.from([file], { objectMode: false }) : file
    for await (const batch of readObject({ get: async () => stored }, object, never)) count += batch.length
    return count
  }
  const isDamage = { code: 'ARCHIVE_DAMAGED' }

  test('any byte that is another, and an end anywhere, is told', async () => {
    const file = await fileOf(SAMPLE)
    expect(await events(file)).toBe(3)
    for (let at = 0; at < file.length; at += 1) {
      for (const bit of [1, 0x80]) {
        const changed = Buffer.from(file)
        changed[at] = (changed[at] ?? 0) ^ bit
        await expect(events(changed)).rejects.toMatchObject(isDamage)
      }
      await expect(events(file.subarray(0, at))).rejects.toMatchObject(isDamage)
    }
  })

  test('any other bytes are damage, and never more than that', async () => {
    const file = await fileOf(SAMPLE)
    const head = file.subarray(0, file.indexOf(file.subarray(-16)) + 16)
    const anyPart = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => blockOf(3n, Buffer.from(bytes), head)),
      fc.tuple(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)).map(([a, b]) => {
        return Buffer.concat([long(a), long(b)])
      }),
    )
    await fc.assert(
      fc.asyncProperty(anyPart, async (part) => {
        await expect(events(Buffer.concat([head, part]))).rejects.toMatchObject(isDamage)
      }),
      { numRuns: 500 },
    )
  })

  test('a block that claims to be huge takes no memory, whether its bytes come or not', async () => {
    const file = await fileOf(SAMPLE)
    const head = file.subarray(0, file.indexOf(file.subarray(-16)) + 16)
    const huge = { content_bytes: 2 ** 40 }
    let sent = 0
    async function* endless(start: Buffer): AsyncGenerator<Buffer> {
      yield start
      for (; sent < 4 * 2 ** 30; sent += 1 << 20) yield Buffer.alloc(1 << 20)
    }
    const claims = [
      [1n, 2n ** 40n],
      [1n, 2n ** 27n + 1n],
      [1n, 2n ** 62n],
      [1n, -5n],
      [0n, 10n],
      [-1n, 10n],
    ] as const
    for (const [count, bytes] of claims) {
      const start = Buffer.concat([head, long(count), long(bytes)])
      await expect(events(Readable.from(endless(start)), huge)).rejects.toMatchObject(isDamage)
    }
    expect(sent).toBeLessThan(64 << 20)
    // Small, and unpacked a thousand times as large.
    const bomb = blockOf(1n, Buffer.alloc(200 << 20), head)
    expect(bomb.length).toBeLessThan(1 << 20)
    const before = process.memoryUsage().rss
    await expect(events(Buffer.concat([head, bomb]), huge)).rejects.toMatchObject(isDamage)
    expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20)
    // Of few events, a block may claim no more than they have.
    const little = blockOf(1n, Buffer.alloc(100_000), head)
    await expect(events(Buffer.concat([head, little]))).rejects.toMatchObject(isDamage)
  })

  test('a bucket that breaks off is not taken for damage', async () => {
    const file = await fileOf(SAMPLE)
    async function* breaking(): AsyncGenerator<Buffer> {
      yield file.subarray(0, 700)
      throw new AppError('BUCKET_UNAVAILABLE', 'the connection closed')
    }
    await expect(events(Readable.from(breaking(), { objectMode: false }))).rejects.toMatchObject({
      code: 'BUCKET_UNAVAILABLE',
    })
  })

  test('who stops reading lets go of the file', async () => {
    const stored = Readable.from([await fileOf(SAMPLE)], { objectMode: false })
    const object = await sampleObject()
    for await (const _ of readObject({ get: async () => stored }, object, never)) break
    expect(stored.destroyed).toBe(true)
  })
})

function long(value: bigint): Buffer {
  const target = Buffer.alloc(longBytesMax)
  return target.subarray(0, writeBigLong(target, value, 0))
}

/** A block of these records, in a file that begins with `head`. */
function blockOf(count: bigint, records: Buffer, head: Buffer): Buffer {
  const data = deflateRawSync(records)
  return Buffer.concat([long(count), long(BigInt(data.length)), data, head.subarray(-16)])
}

test('a long is the same by either way of writing it', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 52), max: 2 ** 52 }), (value) => {
      const target = Buffer.alloc(longBytesMax)
      expect(target.subarray(0, writeLong(target, value, 0))).toEqual(long(BigInt(value)))
    }),
  )
  expect(long(2n ** 63n - 1n).toString('hex')).toBe('feffffffffffffffff01')
  expect(long(-(2n ** 63n)).toString('hex')).toBe('ffffffffffffffffff01')
  expect(() => long(2n ** 63n)).toThrow(RangeError)
})
