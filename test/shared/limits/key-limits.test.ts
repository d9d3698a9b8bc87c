import { expect, test } from 'vitest'
import {
  checkLimitsByKind,
  limitsFor,
  parseLimits,
  readLimits,
} from '../../../services/shared/limits/domain/key-limits.ts'

test('a project’s limits stand in for the defaults, a key’s own only narrow them', () => {
  const defaults = { queries_per_minute: 100, concurrent_queries: 4 }
  expect(limitsFor(defaults, {}, {})).toEqual(defaults)
  expect(limitsFor(defaults, { queries_per_minute: 500 }, {})).toMatchObject({ queries_per_minute: 500 })
  expect(limitsFor(defaults, {}, { queries_per_minute: 500, concurrent_queries: 2 })).toEqual({
    queries_per_minute: 100,
    concurrent_queries: 2,
  })
  expect(limitsFor({}, {}, { events_per_second: 7 })).toEqual({ events_per_second: 7 })
})

test.each([
  [[], 'limits must be an object'],
  [{ queries: 1 }, 'limits.queries is not a known limit'],
  [{ events_per_second: 0 }, 'limits.events_per_second must be a whole number above zero'],
  [{ events_per_second: 1.5 }, 'limits.events_per_second must be'],
  [{ events_per_second: '5' }, 'limits.events_per_second must be'],
  [{ events_per_second: 1e300 }, 'limits.events_per_second must be'],
])('%j is refused, and the field named', (value, problem) => {
  expect(() => parseLimits(value, 'limits')).toThrow(problem)
})

test('null leaves a limit out; what was kept by another version is read as far as it is understood', () => {
  expect(parseLimits({ events_per_second: null, bytes_per_second: 5 }, 'limits')).toEqual({ bytes_per_second: 5 })
  expect(readLimits({ later: 1, bytes_per_second: 'x', queries_per_minute: 3 })).toEqual({ queries_per_minute: 3 })
  expect(readLimits('x')).toEqual({})
  expect(() => checkLimitsByKind({ reader: {} }, 'preferences.limits')).toThrow('preferences.limits.reader')
  expect(() => checkLimitsByKind({ read: { x: 1 } }, 'preferences.limits')).toThrow('preferences.limits.read.x')
})
