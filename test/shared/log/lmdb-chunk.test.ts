import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeChunk, encodeSparseChunk, entriesOf, recordsOf } from '../../../services/shared/log/lmdb/chunk.ts'

const field = fc.option(fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)))
const messages = fc.array(fc.record({ partition: fc.constant(3), key: field, value: field }), { minLength: 1 })

test('a chunk gives back its messages with their offsets, from any offset on', () => {
  fc.assert(
    fc.property(messages, fc.nat(2 ** 40), fc.nat(120), (sent, base, skip) => {
      const records = recordsOf(encodeChunk(sent, 1_763_000_000_000.5), 3, base, base + skip)
      expect(records).toEqual(
        sent.slice(skip).map(({ key, value }, i) => ({
          partition: 3,
          offset: BigInt(base + skip + i),
          key,
          value,
          appendedAtMs: 1_763_000_000_000.5,
        })),
      )
    }),
  )
})

test('what compaction leaves keeps its offsets', () => {
  const sent = ['a', 'b', 'c', 'd'].map((text) => ({ partition: 0, key: Buffer.from(text), value: Buffer.from(text) }))
  const kept = [...entriesOf(encodeChunk(sent, 5))].filter((_, i) => i % 2 === 1)
  const records = recordsOf(encodeSparseChunk(kept, 5), 0, 100, 0)
  expect(records.map(({ offset, key }) => [offset, key?.toString()])).toEqual([
    [101n, 'b'],
    [103n, 'd'],
  ])
})

test('a chunk of an unknown version is refused', () => {
  const chunk = encodeChunk([{ partition: 0, key: null, value: null }], 0)
  chunk[0] = 9
  expect(() => [...entriesOf(chunk)]).toThrow('version')
})
