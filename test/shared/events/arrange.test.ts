import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { sortForTable, splitForInserts } from '../../../services/shared/events/domain/arrange.ts'
import type { DecodedEvent } from '../../../services/shared/events/domain/decode-record.ts'

const anyEvent = fc
  .record({ collection: fc.constantFrom('a', 'b', 'c'), day: fc.integer({ min: -30_000, max: 30_000 }) })
  .map(({ collection, day }) => ({ collection, timestampMs: day * 86_400_000 }))

const toEvents = (items: readonly { collection: string; timestampMs: number }[]): DecodedEvent[] =>
  items.map((item, index) => ({
    record: { partition: 0, offset: BigInt(index), key: null, value: null, appendedAtMs: 0 },
    event: {
      project: 'p',
      id: Buffer.alloc(16),
      createdAtMs: 0,
      repeatKey: null,
      properties: Buffer.alloc(2),
      ...item,
    },
  }))

const byOffset = (a: DecodedEvent, b: DecodedEvent): number => Number(a.record.offset - b.record.offset)

test('every event is in one insert, and no insert has more months than the server takes', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 400 }), (items) => {
      const events = toEvents(items)
      const parts = splitForInserts(sortForTable(events), ({ event }) => event.timestampMs)
      expect(parts.flat().toSorted(byOffset)).toEqual(events)
      for (const part of parts) {
        const months = new Set(
          part.map(({ event }) => new Date(event.timestampMs).toISOString().replace(/-\d\dT.*/, '')),
        )
        expect(months.size).toBeLessThan(100)
        expect(part.length).toBeGreaterThan(0)
      }
    }),
  )
})

test('rows are in the order of the table: collection, time, offset', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (items) => {
      const sorted = sortForTable(toEvents(items))
      const expected = toEvents(items).toSorted(
        (a, b) =>
          (a.event.collection < b.event.collection ? -1 : Number(a.event.collection > b.event.collection)) ||
          a.event.timestampMs - b.event.timestampMs ||
          byOffset(a, b),
      )
      expect(sorted.map(({ record }) => record.offset)).toEqual(expected.map(({ record }) => record.offset))
    }),
  )
})
