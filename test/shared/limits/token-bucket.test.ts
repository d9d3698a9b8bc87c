import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { TokenBucket } from '../../../services/shared/limits/domain/token-bucket.ts'

const rateArbitrary = fc.record({
  burst: fc.integer({ min: 1, max: 1_000 }),
  perSecond: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
})
const callsArbitrary = fc.array(
  fc.record({
    waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20_000 })),
    amount: fc.integer({ min: 1, max: 400 }),
    isPutBack: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
)

test('over no stretch of time is more given than the burst and what came in meanwhile', () => {
  fc.assert(
    fc.property(rateArbitrary, callsArbitrary, (rate, calls) => {
      const bucket = new TokenBucket(rate, 0)
      const given: { atMs: number; amount: number }[] = []
      let nowMs = 0
      for (const { waitMs, amount, isPutBack } of calls) {
        nowMs += waitMs
        if (!bucket.take(rate, amount, nowMs)) continue
        if (isPutBack) bucket.putBack(rate, amount)
        else given.push({ atMs: nowMs, amount })
      }
      for (const [i, { atMs: fromMs }] of given.entries()) {
        let sum = 0
        for (const { atMs, amount } of given.slice(i)) {
          sum += amount
          const most = rate.burst + (rate.perSecond * (atMs - fromMs)) / 1_000
          expect(sum).toBeLessThanOrEqual(most * (1 + 1e-9))
        }
      }
    }),
    { numRuns: 1_000 },
  )
})

test('what is taken no faster than the rate is always given', () => {
  fc.assert(
    fc.property(rateArbitrary, fc.integer({ min: 1, max: 300 }), (rate, times) => {
      const bucket = new TokenBucket(rate, 0)
      for (let i = 1; i <= times; i += 1) {
        // A hair slower, for the last digits of the sums.
        expect(bucket.take(rate, 1, (i * 1_000.001) / rate.perSecond)).toBe(true)
      }
    }),
  )
})

test('a burst is had once, and whole again only after the time that it takes', () => {
  const rate = { burst: 10, perSecond: 5 }
  const bucket = new TokenBucket(rate, 0)
  expect(bucket.take(rate, 10, 0)).toBe(true)
  expect(bucket.take(rate, 1, 199)).toBe(false)
  expect(bucket.take(rate, 1, 200)).toBe(true)
  expect(bucket.take(rate, 11, 1e9)).toBe(false)
  expect(bucket.take(rate, 10, 1e9)).toBe(true)
})

test('a rate that is lowered cuts what had been saved up; a clock that stands still gives nothing', () => {
  const bucket = new TokenBucket({ burst: 100, perSecond: 10 }, 0)
  const lowered = { burst: 3, perSecond: 1 }
  expect(bucket.available(lowered, 0)).toBe(3)
  expect(bucket.take(lowered, 3, 0)).toBe(true)
  expect(bucket.take(lowered, 1, -5_000)).toBe(false)
  expect(bucket.take(lowered, 1, 0)).toBe(false)
})

test('whatever is asked for, what was taken is at most a bucket, what time filled, and what the last one owed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.record({ amount: fc.integer({ min: 1, max: 120 }), waitMs: fc.integer({ min: 0, max: 4_000 }) }), {
        minLength: 1,
        maxLength: 60,
      }),
      (burst, perSecond, asked) => {
        const rate = { burst, perSecond }
        const bucket = new TokenBucket(rate, 0)
        let nowMs = 0
        let taken = 0
        for (const { amount, waitMs } of asked) {
          nowMs += waitMs
          const waitS = bucket.takeOrOwe(rate, amount, nowMs)
          if (waitS === 0) {
            // Before this one, what was taken was within the bound; this one may go past it by what it owes.
            expect(taken + Math.min(amount, burst)).toBeLessThanOrEqual(burst + (nowMs / 1_000) * perSecond + 1e-6)
            taken += amount
          } else {
            // It is worth waiting, and not longer than said.
            const later = nowMs + waitS * 1_000 + 1e-3
            expect(bucket.available(rate, nowMs)).toBeLessThan(Math.min(amount, burst))
            expect(bucket.takeOrOwe(rate, amount, later)).toBe(0)
            taken += amount
            nowMs = later
          }
        }
      },
    ),
  )
})
