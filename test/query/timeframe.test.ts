import { expect, test } from 'vitest'
import { parseTimeframe, resolveTimeframe } from '../../services/query/language/timeframe.ts'

const NOW = Date.parse('2026-03-11T10:20:30.400Z') // a Wednesday

test.each([
  ['this_minute', 'UTC', '2026-03-11T10:20Z', '2026-03-11T10:21Z'],
  ['this_1_hours', 'UTC', '2026-03-11T10:00Z', '2026-03-11T11:00Z'],
  ['today', 'UTC', '2026-03-11T00:00Z', '2026-03-12T00:00Z'],
  ['this_2_days', 'UTC', '2026-03-10T00:00Z', '2026-03-12T00:00Z'],
  ['previous_2_days', 'UTC', '2026-03-09T00:00Z', '2026-03-11T00:00Z'],
  ['yesterday', 'UTC', '2026-03-10T00:00Z', '2026-03-11T00:00Z'],
  ['last_14_days', 'UTC', '2026-02-25T00:00Z', '2026-03-11T00:00Z'],
  ['this_week', 'UTC', '2026-03-08T00:00Z', '2026-03-15T00:00Z'],
  ['previous_1_weeks', 'UTC', '2026-03-01T00:00Z', '2026-03-08T00:00Z'],
  ['this_month', 'UTC', '2026-03-01T00:00Z', '2026-04-01T00:00Z'],
  ['previous_3_months', 'UTC', '2025-12-01T00:00Z', '2026-03-01T00:00Z'],
  ['this_1_years', 'UTC', '2026-01-01T00:00Z', '2027-01-01T00:00Z'],
  ['this_day', 'US/Pacific', '2026-03-11T07:00Z', '2026-03-12T07:00Z'],
  ['previous_3_days', 'US/Pacific', '2026-03-08T08:00Z', '2026-03-11T07:00Z'], // the 8th had 23 hours
  ['this_day', '+05:30', '2026-03-10T18:30Z', '2026-03-11T18:30Z'],
])('%s in %s is from %s to %s', (timeframe, zone, start, end) => {
  const { startMs, endMs } = resolveTimeframe(parseTimeframe(timeframe), zone, NOW)
  expect([startMs, endMs]).toEqual([Date.parse(start), Date.parse(end)])
})

test.each([
  ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z', 'UTC', 24],
  ['2026-01-01T00:00', '2026-01-01T01:00:00.123456789Z', 'UTC', 1 + 0.123 / 3600],
  ['2026-01-01', '2026-01-02', 'UTC', 24],
  ['2026-01-01T00:00:00-0800', '2026-01-01T09:00:00Z', '-08:00', 1],
  ['2026-01-01T00:00:00 05:30', '2026-01-01T01:00:00+05:30', '+05:30', 1],
])('from %s to %s lies in the zone that start was written in', (start, end, zone, hours) => {
  const timeframe = resolveTimeframe(parseTimeframe({ start, end }), 'Asia/Tokyo', NOW)
  expect(timeframe.zone).toBe(zone)
  expect((timeframe.endMs - timeframe.startMs) / 3_600_000).toBeCloseTo(hours, 9)
})

test.each([
  'prev_3_days',
  'this_0_days',
  'this_-1_days',
  'this_3_quarters',
  'this_99999999999_days',
  '__proto__',
  'constructor',
  [],
  7,
  true,
  { start: '2026-01-01' },
  { start: '2026-01-02', end: '2026-01-02' },
  { start: '2026-02-30', end: '2026-03-02' },
  { start: '2026-01-01T24:00', end: '2026-03-02' },
  { start: 5, end: 6 },
])('timeframe %j is refused', (timeframe) => {
  expect(() => parseTimeframe(timeframe)).toThrow(expect.objectContaining({ code: 'InvalidTimeframeError' }))
})

test('a timeframe that begins before all calendars is refused, and one before all data is not', () => {
  const resolve = (text: string) => resolveTimeframe(parseTimeframe(text), 'UTC', NOW)
  expect(resolve('this_500_years').startMs).toBe(Date.parse('1527-01-01T00:00:00Z'))
  expect(() => resolve('this_9999999_years')).toThrow(expect.objectContaining({ code: 'InvalidTimeframeError' }))
})
