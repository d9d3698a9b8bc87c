import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { archivedRanges, readManifest } from '../../services/exporter/archive/read-archive.ts'
import { seekRange } from '../../services/exporter/archive/seek-range.ts'
import { manifestKey } from '../../services/exporter/domain/archive-key.ts'
import { manifestText } from '../../services/exporter/domain/manifest.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { bodyOf } from '../../services/shared/bucket/body.ts'
import { MemoryBucketState, openMemoryBucket } from '../support/memory-bucket.ts'

const signal = new AbortController().signal
const partition = { epoch: 'e', partition: 3 }
const T0 = Date.UTC(2026, 0, 1)
const HOUR_MS = 3_600_000

interface Range {
  readonly first: bigint
  readonly last: bigint
  readonly lastMs: number | null
}

async function archiveOf(ranges: readonly Range[]): Promise<Bucket> {
  const bucket = openMemoryBucket(new MemoryBucketState(), async () => undefined)
  for (const { first, last, lastMs } of ranges) {
    const at = lastMs === null ? null : new Date(lastMs).toISOString()
    const text = manifestText({
      version: 1,
      ...partition,
      first: String(first),
      last: String(last),
      records: 0,
      events: 0,
      repeats: 0,
      unusable: {},
      appended: at === null ? null : { first: at, last: at },
      objects: [],
    })
    const key = manifestKey({ ...partition, first, last })
    await bucket.put(key, bodyOf(text), { contentType: 'application/json', signal })
  }
  return bucket
}

const ranges = fc
  .array(
    fc.record({
      offsets: fc.bigInt({ min: 1n, max: 100_000n }),
      afterMs: fc.nat({ max: 5 * HOUR_MS }),
      hasTimes: fc.integer({ min: 0, max: 9 }).map((drawn) => drawn > 0),
    }),
    { maxLength: 60 },
  )
  .map((drawn) => {
    let [next, ms] = [0n, T0]
    return drawn.map(({ offsets, afterMs, hasTimes }): Range => {
      const first = next
      next += offsets
      ms += afterMs
      return { first, last: next - 1n, lastMs: hasTimes ? ms : null }
    })
  })

test('nothing that may be wanted lies before the offset, and little that is old behind it', async () => {
  await fc.assert(
    fc.asyncProperty(ranges, fc.integer({ min: T0 - HOUR_MS, max: T0 + 300 * HOUR_MS }), async (drawn, sinceMs) => {
      const bucket = await archiveOf(drawn)
      const from = await seekRange(bucket, (key) => readManifest(bucket, key, signal), partition, sinceMs, signal)
      for (const { first, lastMs } of drawn) {
        if (first < from && lastMs !== null) expect(lastMs).toBeLessThan(sinceMs - HOUR_MS)
      }
      if (drawn.some(({ lastMs }) => lastMs === null)) return // these are looked at, with what is behind them
      for await (const range of archivedRanges(bucket, partition, from, signal)) {
        expect(drawn.find(({ first }) => first === range.first)?.lastMs).toBeGreaterThanOrEqual(sinceMs - HOUR_MS)
        return
      }
    }),
    { numRuns: 300 },
  )
})

test('of ten thousand ranges some dozens are read', async () => {
  const many = Array.from({ length: 10_000 }, (_, i): Range => {
    const first = BigInt(i) * 5_000n
    return { first, last: first + 4_999n, lastMs: T0 + i * 300_000 }
  })
  const bucket = await archiveOf(many)
  let reads = 0
  const read = async (key: string) => {
    reads += 1
    return readManifest(bucket, key, signal)
  }
  const sinceMs = T0 + 7_777 * 300_000
  expect(await seekRange(bucket, read, partition, sinceMs, signal)).toBe(BigInt(7_777 - 12) * 5_000n)
  expect(reads).toBeLessThan(60)
})
