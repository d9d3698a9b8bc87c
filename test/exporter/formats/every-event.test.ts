import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FormatName } from '../../../services/exporter/formats/format.ts'
import { bytesOf, encodeAs, eventsOf, fileOf, inBatches, T0, uuid } from './file-events.ts'
import { eventTrees, meaning, numberMeaning, type Tree } from './generated.ts'
import { lineFor } from './line-model.ts'
import { readAvro } from './read-avro.ts'
import { readCsv } from './read-csv.ts'
import { readParquet } from './read-parquet.ts'
import { type Cells, expectAllThere, isSameText, typeFor } from './table-model.ts'

const NAMES = ['jsonl.gz', 'jsonl.zst', 'csv.gz', 'avro', 'parquet'] as const satisfies readonly FormatName[]
const KEEN = ['keen.timestamp', 'keen.created_at', 'keen.id']
const RUNS = 300

const cellsOf = (row: Readonly<Record<string, unknown>>): Cells =>
  new Map(Object.entries(row).filter(([name, value]) => value !== null && !KEEN.includes(name)))

test('Parquet has every value once, in the type of its column', async () => {
  await fc.assert(
    fc.asyncProperty(eventTrees, async (events) => {
      const { bytes } = await fileOf(
        'parquet',
        events.map(({ text }) => text),
      )
      const { rows, types } = await readParquet(bytes)
      expect(rows.map((row) => row['keen.id'])).toEqual(events.map((_, i) => uuid(i)))
      const seen = new Map<string, Tree[]>()
      expectAllThere(events, rows.map(cellsOf), (column, cell, value) => {
        seen.set(column, [...(seen.get(column) ?? []), value])
        const type = types[column]
        if (type === 'BOOLEAN') return typeof cell === 'boolean' && String(cell) === value.text
        if (type === 'INT64') {
          return typeof cell === 'bigint' && numberMeaning(String(cell)) === numberMeaning(value.text)
        }
        if (type === 'DOUBLE') {
          return numberMeaning(Object.is(cell, -0) ? '-0' : String(cell)) === numberMeaning(value.text)
        }
        return isSameText(cell, value)
      })
      const { _rest, ...others } = types
      const columns = Object.entries(others).filter(([name]) => !KEEN.includes(name))
      expect(new Map(columns)).toEqual(new Map([...seen].map(([name, values]) => [name, typeFor(values)])))
    }),
    { numRuns: RUNS },
  )
})

test('CSV has every value once', async () => {
  await fc.assert(
    fc.asyncProperty(eventTrees, async (events) => {
      const { bytes } = await fileOf(
        'csv.gz',
        events.map(({ text }) => text),
      )
      const [header = [], ...records] = readCsv(gunzipSync(bytes).toString())
      expect(header.slice(0, 3)).toEqual(KEEN)
      const rows = records.map((record, i) => {
        expect(record.slice(0, 3)).toEqual([
          new Date(T0 + i * 1_000).toISOString(),
          new Date(T0 + i * 1_000 + 5).toISOString(),
          uuid(i),
        ])
        expect(record).toHaveLength(header.length)
        return new Map(record.flatMap((cell, at) => (cell === null || at < 3 ? [] : [[String(header[at]), cell]])))
      })
      expectAllThere(events, rows, (_, cell, value) => isSameText(cell, value))
    }),
    { numRuns: RUNS },
  )
})

test('Avro has every event’s text', async () => {
  await fc.assert(
    fc.asyncProperty(eventTrees, async (events) => {
      const { bytes } = await fileOf(
        'avro',
        events.map(({ text }) => text),
      )
      expect(await readAvro(bytes)).toEqual(
        events.map(({ text }, i) => ({
          keen_id: uuid(i),
          keen_timestamp: T0 + i * 1_000,
          keen_created_at: T0 + i * 1_000 + 5,
          properties: text,
        })),
      )
    }),
    { numRuns: RUNS },
  )
})

test.each(['jsonl.gz', 'jsonl.zst'] as const)('%s has every event on a line, keen over its own', async (name) => {
  await fc.assert(
    fc.asyncProperty(eventTrees, async (events) => {
      const { bytes } = await fileOf(
        name,
        events.map(({ text }) => text),
      )
      const lines = (name === 'jsonl.gz' ? gunzipSync(bytes) : zstdDecompressSync(bytes)).toString().split('\n')
      expect(lines.pop()).toBe('')
      expect(lines).toHaveLength(events.length)
      for (const [i, event] of events.entries()) {
        expect(meaning(lines[i] ?? '')).toBe(meaning(lineFor(event, uuid(i), T0 + i * 1_000, T0 + i * 1_000 + 5)))
        const own = event.entries.find(([key]) => key === 'keen')
        if (own === undefined) expect(lines[i]).toContain(event.text.slice(1, -1).replaceAll('\n', ' '))
      }
    }),
    { numRuns: RUNS },
  )
})

test.each(NAMES)('the same events are the same bytes, however they come: %s', async (name) => {
  await fc.assert(
    fc.asyncProperty(eventTrees, fc.integer({ min: 1, max: 12 }), async (trees, size) => {
      const events = eventsOf(trees.map(({ text }) => text))
      const [whole, cut] = await Promise.all(
        [inBatches(events), inBatches(events, size)].map((source) => bytesOf(encodeAs(name, source))),
      )
      expect(cut).toEqual(whole)
    }),
    { numRuns: 30 },
  )
  // Several blocks of each kind, with batches that end within them.
  const events = eventsOf(
    Array.from({ length: 22_000 }, (_, i) => `{"n":${(i * 7919) % 10_007},"text":"${'x'.repeat(i % 97)}"}`),
  )
  const [whole, ...cut] = await Promise.all(
    [events.length, 1, 37, 8_192].map((size) => bytesOf(encodeAs(name, inBatches(events, size)))),
  )
  for (const bytes of cut) expect(bytes.equals(whole ?? Buffer.alloc(0))).toBe(true)
})
