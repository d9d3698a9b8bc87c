import { expect, test } from 'vitest'
import { HeldPartition } from '../../../../services/shared/log/kafka/held-partition.ts'
import type { LogRecord } from '../../../../services/shared/log/port.ts'

const never = new AbortController().signal
const record = (offset: number, size: number): LogRecord => ({
  partition: 0,
  offset: BigInt(offset),
  key: null,
  value: Buffer.alloc(size),
  appendedAtMs: 0,
})
const all = { maxBytes: 1 << 30, maxRecords: 1_000, waitMs: 0 }

function setUp(bytesMax: number) {
  const readAhead = { bytes: 0 }
  let asked = 0
  const held = new HeldPartition(0, { bytesMax, readAhead, wantMore: () => (asked += 1) })
  held.open(0n)
  return { held, readAhead, asked: () => asked }
}

test('records beyond the budget are left for a later fetch, from the first one that was not kept', async () => {
  const { held, readAhead, asked } = setUp(3_000)
  expect(held.take([record(0, 1_000), record(1, 1_000), record(2, 1_000)], 3n)).toBe(2n)
  expect(readAhead.bytes).toBeLessThanOrEqual(3_000)
  expect(held.room()).toBe(0)
  const before = asked()
  expect((await held.read(all, never)).map(({ offset }) => offset)).toEqual([0n, 1n])
  expect(asked()).toBe(before + 1)
  expect(held.room()).toBeGreaterThan(0)
  expect(readAhead.bytes).toBe(0)
})

test('a record larger than the whole budget gets through alone', async () => {
  const { held } = setUp(3_000)
  expect(held.take([record(0, 50_000), record(1, 10)], 2n)).toBe(1n)
  expect(await held.read(all, never)).toHaveLength(1)
  expect(held.take([record(1, 10)], 2n)).toBe(2n)
})

test('a closed partition keeps nothing, counts nothing and asks for nothing', async () => {
  const { held, readAhead } = setUp(3_000)
  held.take([record(0, 1_000)], 1n)
  held.close()
  expect(readAhead.bytes).toBe(0)
  expect(held.room()).toBe(0)
  held.take([record(1, 1_000)], 2n)
  expect(readAhead.bytes).toBe(0)
  held.open(1n)
  expect(held.take([record(1, 1_000)], 2n)).toBe(2n)
  expect((await held.read(all, never)).map(({ offset }) => offset)).toEqual([1n])
})

test('a read that waits ends when records come, when it is woken, and when its time is up', async () => {
  const { held } = setUp(3_000)
  const waiting = held.read({ ...all, waitMs: 3_600_000 }, never)
  held.take([record(0, 10)], 1n)
  expect(await waiting).toHaveLength(1)
  const stop = new AbortController()
  const stopped = held.read({ ...all, waitMs: 3_600_000 }, stop.signal)
  stop.abort()
  held.wake()
  expect(await stopped).toEqual([])
  expect(await held.read({ ...all, waitMs: 1 }, never)).toEqual([])
})
