import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { GroupSpool } from '../../services/exporter/deliveries/group-spool.ts'
import { lineBytesMax, writeLine } from '../../services/exporter/domain/line.ts'
import { eventsIn, wholeLines } from '../../services/exporter/domain/lines.ts'
import { formatOf } from '../../services/exporter/formats/index.ts'
import { MemoryBudget } from '../../services/exporter/spool/memory-budget.ts'
import { encodeEvent, frameEvent } from '../../services/shared/events/codec.ts'
import { bytesOf } from './formats/file-events.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-group-spool-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const damage = (): Error => new Error('not a line of the archive')
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes))
const anyTime = fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2299, 11, 31) })
/** Ordinary ones, such without anything in them, with a `keen` of their own in all its spellings, and spaces where they may be. */
const properties = fc.oneof(
  fc
    .dictionary(fc.string({ maxLength: 12 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 })
    .map((v) => JSON.stringify(v)),
  fc.constantFrom(
    '{}',
    '{ }',
    ' {"a":1} ',
    '{ "a":1 }',
    '{"a":1\n}',
    '{"keen":{"id":"mine","addons":[2.0]},"x":1.10}',
    '{"\\u006been":1,"x":1e2}',
    '{"text":"keen","b":{"keen":1}}',
  ),
)
const events = fc.array(
  fc.record({ id: sixteen, timestampMs: anyTime, createdAtMs: anyTime, repeatKey: fc.option(sixteen), properties }),
  { minLength: 1, maxLength: 40 },
)

type Events = typeof events extends fc.Arbitrary<infer T> ? T : never

const archived = (all: Events): Buffer =>
  Buffer.concat(
    all.map((event, i) => {
      const fields = { ...event, project: 'p', collection: 'c', properties: Buffer.from(event.properties) }
      const framed = frameEvent(encodeEvent(fields))
      const line = Buffer.alloc(lineBytesMax(framed))
      return line.subarray(0, writeLine(line, 0, framed, BigInt(i ** 5)))
    }),
  )

async function filesOf(spool: GroupSpool, format: 'jsonl.gz' | 'jsonl.zst'): Promise<readonly string[]> {
  await spool.settle()
  const files: string[] = []
  for (const group of spool.groups) {
    const bytes =
      format === 'jsonl.gz'
        ? gunzipSync(await bytesOf((await spool.finish(group)).body.open() as AsyncIterable<Buffer>))
        : await bytesOf(spool.lines(group))
    files.push(`${group.prefix} ${group.part} ${group.events}\n${bytes.toString()}`)
  }
  await spool.close()
  return files
}

test.each(['jsonl.gz', 'jsonl.zst'] as const)(
  'lines that are added whole are those of their events: %s',
  async (format) => {
    await fc.assert(
      fc.asyncProperty(
        events,
        fc.integer({ min: 1, max: 4_000 }),
        fc.integer({ min: 1, max: 900 }),
        async (all, target, cut) => {
          const open = (): GroupSpool => new GroupSpool(folder, new MemoryBudget(1 << 20), target, formatOf(format))
          const [byEvent, byLines] = [open(), open()]
          const lines = archived(all)
          for (const event of eventsIn(lines, damage)) byEvent.add('at/', event)
          const chunks = async function* () {
            for (let at = 0; at < lines.length; at += cut) yield Buffer.from(lines.subarray(at, at + cut))
          }
          for await (const piece of wholeLines(chunks(), damage)) {
            byLines.addLines('at/', piece, damage)
            await byLines.settle()
          }
          expect(await filesOf(byLines, format)).toEqual(await filesOf(byEvent, format))
        },
      ),
      { numRuns: 300 },
    )
  },
)

test('a file of many blocks has the same bytes, however its lines came', async () => {
  const all = Array.from({ length: 6_000 }, (_, i) => ({
    id: Buffer.alloc(16, i % 251),
    timestampMs: i,
    createdAtMs: i * 7,
    repeatKey: null,
    properties: JSON.stringify({ n: i, text: 'x'.repeat(i % 300) }),
  }))
  const files: string[] = []
  for (const cut of [1_000, 100_000, 1 << 22]) {
    const spool = new GroupSpool(folder, new MemoryBudget(1 << 20), 1 << 30, formatOf('jsonl.gz'))
    const lines = archived(all)
    for (let at = 0; at < lines.length; ) {
      const end = lines.indexOf(0x0a, Math.min(at + cut, lines.length - 1)) + 1
      spool.addLines('at/', Buffer.from(lines.subarray(at, end)), damage)
      await spool.settle()
      at = end
    }
    const [group] = spool.groups
    if (group === undefined) throw new Error('no group')
    files.push((await spool.finish(group)).sha256)
    await spool.close()
  }
  expect(new Set(files).size).toBe(1)
})

test('a line that is none of the archive is damage', () => {
  const spool = new GroupSpool(folder, new MemoryBudget(1 << 20), 1_000, formatOf('jsonl.gz'))
  expect(() => spool.addLines('at/', Buffer.from('{"id":"somebody else\'s"}\n'), damage)).toThrow('not a line')
})
