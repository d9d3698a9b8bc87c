import { createRequire } from 'node:module'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from '../../../../services/shared/log/kafka/crc32c.ts'
import {
  BATCH_OVERHEAD_BYTES,
  decodeBatches,
  encodeBatch,
  recordBytesMax,
} from '../../../../services/shared/log/kafka/record-batch.ts'
import type { LogMessage } from '../../../../services/shared/log/port.ts'

const require = createRequire(import.meta.url)

const bytes = fc.oneof(
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
)
const messages = fc.array(
  fc.record({ key: bytes, value: bytes }).map((m): LogMessage => ({ partition: 3, ...m })),
  { minLength: 1, maxLength: 200 },
)
const compression = fc.constantFrom('none' as const, 'gzip' as const, 'zstd' as const)

/** What a broker does to a batch: it gives it its place. */
function at(batch: Buffer, base: bigint): Buffer {
  const placed = Buffer.from(batch)
  placed.writeBigInt64BE(base, 0)
  return placed
}

test('crc32c gives the published check value, whatever the length and start', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(Buffer.from('xx123456789'), 2)).toBe(0xe3069283)
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
  expect(crc32c(Buffer.alloc(0))).toBe(0)
})

test('what is encoded is decoded as it was, in every compression, and takes no more bytes than reckoned', async () => {
  await fc.assert(
    fc.asyncProperty(messages, compression, fc.bigInt(0n, 2n ** 60n), async (sent, kind, base) => {
      const batch = await encodeBatch(sent, { compression: kind, nowMs: 1_700_000_000_123 })
      if (kind === 'none') {
        const reckoned = sent.reduce((sum, message) => sum + recordBytesMax(message), BATCH_OVERHEAD_BYTES)
        expect(batch.length).toBeLessThanOrEqual(reckoned)
      }
      const { records, next } = decodeBatches(at(batch, base), 3, 0n)
      expect(next).toBe(base + BigInt(sent.length))
      expect(records).toEqual(
        sent.map(({ key, value }, i) => ({
          partition: 3,
          offset: base + BigInt(i),
          key,
          value,
          appendedAtMs: 1_700_000_000_123,
        })),
      )
    }),
    { numRuns: 60 },
  )
})

test('kafkajs reads what is written here', async () => {
  const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object
  const decode = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (
    decoder: object,
  ) => Promise<{ records: { offset: string; key: Buffer | null; value: Buffer | null }[] }>
  const sent = Array.from({ length: 300 }, (_, i) => ({
    partition: 0,
    key: i % 3 === 0 ? null : Buffer.from(`k${i}`),
    value: i % 7 === 0 ? null : Buffer.alloc(i, i),
  }))
  for (const kind of ['none', 'gzip'] as const) {
    const batch = at(await encodeBatch(sent, { compression: kind, nowMs: Date.now() }), 40n)
    const { records } = await decode(new Decoder(batch))
    expect(records.map(({ offset, key, value }) => ({ offset, key, value }))).toEqual(
      sent.map(({ key, value }, i) => ({ offset: String(40 + i), key, value })),
    )
  }
})

test('reading goes on behind a batch that compaction has emptied, and behind control records', async () => {
  const [one] = [{ partition: 0, key: null, value: Buffer.from('a') }]
  const full = await encodeBatch([one, one], { compression: 'none', nowMs: 1 })
  const emptied = Buffer.from(full.subarray(0, BATCH_OVERHEAD_BYTES))
  emptied.writeInt32BE(emptied.length - 12, 8)
  emptied.writeInt32BE(0, 57)
  emptied.writeUInt32BE(crc32c(emptied, 21), 17)
  const control = Buffer.from(full)
  control.writeInt16BE(32, 21)
  control.writeUInt32BE(crc32c(control, 21), 17)
  const { records, next } = decodeBatches(Buffer.concat([at(emptied, 10n), at(control, 12n), at(full, 20n)]), 0, 10n)
  expect(records.map(({ offset }) => offset)).toEqual([20n, 21n])
  expect(next).toBe(22n)
  expect(decodeBatches(at(emptied, 10n), 0, 10n)).toEqual({ records: [], next: 12n })
})

test('records before the position are left out, and a batch that is cut off waits for the next read', async () => {
  const sent = Array.from({ length: 10 }, (_, i) => ({ partition: 0, key: null, value: Buffer.from(String(i)) }))
  const batch = await encodeBatch(sent, { compression: 'none', nowMs: 1 })
  const two = Buffer.concat([at(batch, 0n), at(batch, 10n)])
  for (let cut = batch.length; cut < two.length; cut += 1) {
    const { records, next } = decodeBatches(two.subarray(0, cut), 0, 7n)
    expect(records.map(({ offset }) => offset)).toEqual([7n, 8n, 9n])
    expect(next).toBe(10n)
  }
  expect(decodeBatches(two.subarray(0, batch.length - 1), 0, 7n)).toEqual({ records: [], next: 7n })
})

test('a batch whose bytes changed on the way is refused, whichever bit it was', async () => {
  const batch = at(
    await encodeBatch([{ partition: 0, key: null, value: Buffer.from('intact') }], {
      compression: 'none',
      nowMs: 1,
    }),
    5n,
  )
  for (let i = 21; i < batch.length; i += 1) {
    const damaged = Buffer.from(batch)
    damaged[i] = (damaged[i] ?? 0) ^ 4
    if (damaged.readInt32BE(23) !== batch.readInt32BE(23)) continue // says which offsets it covers: the broker's word
    expect(() => decodeBatches(damaged, 0, 5n)).toThrow(expect.objectContaining({ code: 'LOG_UNAVAILABLE' }))
  }
})
