import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { partitionOfKey } from '../../../services/shared/log/partition.ts'

test('a key’s partition never changes: these were written down once', () => {
  const keys = ['', 'a', 'hello', '0123456789abcdef'].map((text) => Buffer.from(text))
  keys.push(Buffer.alloc(16), Buffer.alloc(16, 0xff))
  expect(keys.map((key) => [1, 4, 7, 64, 1_000_003].map((partitions) => partitionOfKey(key, partitions)))).toEqual([
    [0, 3, 4, 11, 990307],
    [0, 3, 0, 51, 640383],
    [0, 2, 6, 46, 965400],
    [0, 3, 2, 11, 200578],
    [0, 3, 1, 59, 290079],
    [0, 2, 5, 6, 197181],
  ])
})

test('a partition is one of those that there are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 10_000 }), (key, partitions) => {
      const partition = partitionOfKey(key, partitions)
      expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true)
    }),
  )
})

test('keys spread evenly', () => {
  const counts = Array.from({ length: 12 }, () => 0)
  for (let i = 0; i < 12_000; i += 1) {
    const key = Buffer.alloc(16)
    key.writeUInt32BE(i, 12)
    const partition = partitionOfKey(key, 12)
    counts[partition] = (counts[partition] ?? 0) + 1
  }
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150)
})

test('a topic without partitions is a mistake', () => {
  expect(() => partitionOfKey(Buffer.alloc(16), 0)).toThrow(RangeError)
})
