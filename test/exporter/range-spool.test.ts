import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { inflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BLOCK_BYTES } from '../../services/exporter/formats/block-packer.ts'
import { RangeSpool } from '../../services/exporter/archive/range-spool.ts'
import type { ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { lineBytesMax, writeLine } from '../../services/exporter/domain/line.ts'
import { MemoryBudget } from '../../services/exporter/spool/memory-budget.ts'
import { encodeEvent, frameEvent } from '../../services/shared/events/codec.ts'
import type { FramedEvent } from '../../services/shared/events/event.ts'
import { decompressed } from './support/decompressed.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-range-spool-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

const eventOf = (n: number, collection: string, size: number): FramedEvent =>
  frameEvent(
    encodeEvent({
      project: 'p',
      collection,
      id: createHash('md5').update(String(n)).digest(),
      timestampMs: n,
      createdAtMs: 1_700_000_000_000 + n,
      repeatKey: n % 3 === 0 ? createHash('md5').update(`key ${n}`).digest() : null,
      properties: Buffer.from(JSON.stringify({ n, text: String(n).repeat(size) })),
    }),
  )

const lineOf = (event: FramedEvent, offset: bigint): Buffer => {
  const line = Buffer.alloc(lineBytesMax(event))
  return line.subarray(0, writeLine(line, 0, event, offset))
}

interface Packed {
  readonly bytes: Buffer
  readonly events: number
  readonly sha256: string
  readonly contentBytes: number
  readonly contentSha256: string
}

/** What a range makes of events when memory is `budget` bytes and reads end after every `settleEvery` events. */
async function pack(
  events: readonly FramedEvent[],
  format: ArchiveFormat,
  budget: number,
  settleEvery: number,
): Promise<ReadonlyMap<string, Packed>> {
  const memory = new MemoryBudget(budget)
  const spool = new RangeSpool(folder, memory, format)
  for (const [n, event] of events.entries()) {
    spool.add(event, BigInt(n))
    if (n % settleEvery === 0) await spool.settle()
  }
  await spool.settle()
  const packed = new Map<string, Packed>()
  for (const part of spool.parts) {
    const object = await spool.finish(part)
    const { body, bytes: stored, sha256, contentBytes, contentSha256 } = object
    const bytes = await buffer(body.open())
    expect(await buffer(body.open())).toEqual(bytes) // an upload that broke off reads it again
    expect([body.bytes, stored]).toEqual([bytes.length, bytes.length])
    object.dispose()
    packed.set(part.collection, { bytes, events: part.events, sha256, contentBytes, contentSha256 })
  }
  await spool.close()
  expect(memory.bytes).toBe(0)
  return packed
}

/** A gzip file of one member, by its middle alone. */
const unpack = (bytes: Buffer, format: ArchiveFormat): Buffer =>
  format === 'jsonl.gz' ? inflateRawSync(bytes.subarray(10, -8)) : Buffer.from(decompressed(bytes, 'x.zst'))

describe.each(['jsonl.gz', 'jsonl.zst'] as const)('a range in %s', (format) => {
  test('holds the lines in order, and the same bytes however much memory there was', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.oneof(fc.nat(50), fc.integer({ min: 10_000, max: 60_000 }))),
          {
            minLength: 1,
            maxLength: 60,
          },
        ),
        fc.integer({ min: 1, max: 20 }),
        async (drawn, settleEvery) => {
          const events = drawn.map(([collection, size], n) => eventOf(n, collection, size))
          const [small, large] = [await pack(events, format, 0, settleEvery), await pack(events, format, 1e9, 1e9)]
          expect(small).toEqual(large)
          for (const [collection, { bytes, ...stamp }] of large) {
            const lines = Buffer.concat(
              events.flatMap((event, n) => (event.collection === collection ? [lineOf(event, BigInt(n))] : [])),
            )
            expect(unpack(bytes, format).equals(lines)).toBe(true)
            expect(stamp).toMatchObject({
              contentBytes: lines.length,
              contentSha256: createHash('sha256').update(lines).digest('hex'),
              sha256: createHash('sha256').update(bytes).digest('hex'),
            })
          }
        },
      ),
      { numRuns: 40 },
    )
    expect(await readdir(folder)).toEqual([])
  })
})

test('several blocks make a file that gzip takes', async () => {
  const events = Array.from({ length: 400 }, (_, n) => eventOf(n, 'a', 700))
  const packed = (await pack(events, 'jsonl.gz', 0, 7)).get('a')
  expect(packed?.contentBytes).toBeGreaterThan(2 * BLOCK_BYTES)
  const out = execFileSync('gzip', ['-dc'], { input: packed?.bytes, maxBuffer: 1 << 26 })
  expect(out.equals(Buffer.concat(events.map((event, n) => lineOf(event, BigInt(n)))))).toBe(true)
})
