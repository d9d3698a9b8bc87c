import { describe, expect, test } from 'vitest'
import { dueSlot, NO_PROGRESS, retryAfterMs, slotAt } from '../../../services/query/refresh/schedule.ts'

const HOUR_S = 3_600
const NOW = Date.UTC(2026, 0, 10, 12)

describe('when a cached query is due', () => {
  test('at once when it has no result, and then once in each slot', () => {
    const slot = dueSlot('p/q', HOUR_S, NO_PROGRESS, NOW)
    expect(slot).toBe(slotAt('p/q', HOUR_S, NOW))
    const done = { ...NO_PROGRESS, slot: slot ?? 0 }
    let runs = 0
    let progress = done
    for (let minute = 1; minute <= 600; minute++) {
      const due = dueSlot('p/q', HOUR_S, progress, NOW + minute * 60_000)
      if (due === undefined) continue
      runs++
      progress = { ...progress, slot: due }
    }
    expect(runs).toBe(10)
  })

  test('a clock that goes back does not make it due again', () => {
    const slot = slotAt('p/q', HOUR_S, NOW)
    expect(dueSlot('p/q', HOUR_S, { ...NO_PROGRESS, slot }, NOW - 7_200_000)).toBeUndefined()
  })

  test('slots of different queries begin at different moments, spread over the refresh rate', () => {
    const minutes = new Set<number>()
    for (let n = 0; n < 200; n++) {
      const first = slotAt(`p/${n}`, HOUR_S, NOW)
      let minute = 0
      while (slotAt(`p/${n}`, HOUR_S, NOW + minute * 60_000) === first) minute++
      minutes.add(minute)
      expect(minute).toBeLessThanOrEqual(60)
    }
    expect(minutes.size).toBeGreaterThan(45)
  })

  test('after failures it waits longer and longer, but never longer than its refresh rate', () => {
    expect([1, 2, 3, 10, 1_000].map((n) => retryAfterMs(n, HOUR_S))).toEqual([
      60_000, 120_000, 240_000, 3_600_000, 3_600_000,
    ])
    const failed = { ...NO_PROGRESS, failures: 2, failedAtMs: NOW }
    expect(dueSlot('p/q', HOUR_S, failed, NOW + 119_000)).toBeUndefined()
    expect(dueSlot('p/q', HOUR_S, failed, NOW + 120_000)).toBeDefined()
  })
})
