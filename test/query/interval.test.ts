import { afterAll, beforeAll, expect, test } from 'vitest'
import { AppError } from '../../services/shared/errors.ts'
import { bucketEdges, parseInterval } from '../../services/query/language/interval.ts'
import { parseTimeframe, resolveTimeframe } from '../../services/query/language/timeframe.ts'
import { parseZone, printMoment } from '../../services/query/language/zone.ts'
import { ask } from './ask.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

/** Whole and half-hour offsets, half-hour and midnight clock changes, both hemispheres, none at all. */
const ZONES = [
  'UTC',
  'US/Pacific',
  'America/New_York',
  'America/Sao_Paulo',
  'America/St_Johns',
  'Europe/London',
  'Europe/Paris',
  'Africa/Cairo',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Auckland',
] as const

const NOW = Date.UTC(2026, 6, 15, 10, 20, 30)
const HOUR_MS = 3_600_000

/** The calendar's name of the unit around a moment, by ICU: all moments of a bucket share it, those outside have another. */
function unitName(zone: string, interval: string): (ms: number) => string {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    hourCycle: 'h23',
    weekday: 'short',
    timeZoneName: 'longOffset',
  })
  return (ms) => {
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]))
    const day = Date.UTC(Number(part['year']), Number(part['month']) - 1, Number(part['day']))
    const weekday = new Date(day).getUTCDay()
    switch (interval) {
      case 'hourly':
        return `${day} ${part['hour']} ${part['timeZoneName']}`
      case 'daily':
        return String(day)
      case 'weekly':
        return String(day - weekday * 24 * HOUR_MS)
      case 'monthly':
        return `${part['year']}-${part['month']}`
      default:
        return String(part['year'])
    }
  }
}

test.each(ZONES)('buckets in %s are the units of its calendar, also when its clock is put forward and back', (zone) => {
  for (const [interval, timeframe] of [
    ['hourly', 'this_1_year'],
    ['daily', 'this_3_years'],
    ['weekly', 'previous_2_years'],
    ['monthly', 'this_5_years'],
    ['yearly', 'previous_10_years'],
  ] as const) {
    const resolved = resolveTimeframe(parseTimeframe(timeframe), parseZone(zone), NOW)
    const node = parseInterval(interval)
    const edges = node === null ? [] : bucketEdges(resolved, node)
    const name = unitName(zone, interval)
    let before = ''
    for (const [i, edge] of edges.slice(0, -1).entries()) {
      const next = edges[i + 1] ?? 0
      const own = name(edge)
      // A week or a year cut short by the timeframe has the name of the whole one.
      expect(own, `${interval} from ${new Date(edge).toISOString()}`).not.toBe(before)
      expect(name(next - 1)).toBe(own)
      expect(name(Math.floor((edge + next) / 2))).toBe(own)
      before = own
    }
    expect(edges.length).toBeGreaterThan(9)
  }
})

test('a day of a clock change has 23 or 25 hours, and every_24_hours has not', () => {
  const spring = { startMs: Date.parse('2026-03-28T23:00:00Z'), endMs: Date.parse('2026-03-30T22:00:00Z') }
  const timeframe = { ...spring, zone: 'Europe/Paris', kind: 'relative' } as const
  expect(bucketEdges(timeframe, { unit: 'day', every: null })).toEqual([
    spring.startMs,
    spring.startMs + 23 * HOUR_MS,
    spring.endMs,
  ])
  expect(bucketEdges(timeframe, { unit: 'day', every: 1 })).toEqual(
    bucketEdges(timeframe, { unit: 'day', every: null }),
  )
  expect(bucketEdges(timeframe, { unit: 'hour', every: 24 })).toEqual([
    spring.startMs,
    spring.startMs + 24 * HOUR_MS,
    spring.endMs,
  ])
})

test('months counted from a 31st do not stay short after a short one', () => {
  const timeframe = {
    startMs: Date.UTC(2026, 0, 31),
    endMs: Date.UTC(2026, 3, 1),
    zone: 'UTC',
    kind: 'absolute',
  } as const
  expect(
    bucketEdges(timeframe, { unit: 'month', every: 1 }).map((edge) => new Date(edge).toISOString().slice(0, 10)),
  ).toEqual(['2026-01-31', '2026-02-28', '2026-03-31', '2026-04-01'])
})

test('more than 9,000 buckets are refused, however long the timeframe is; 9,000 are not', () => {
  const of = (ms: number) => ({ startMs: 0, endMs: ms, zone: 'UTC', kind: 'absolute' }) as const
  expect(bucketEdges(of(9_000 * 60_000), { unit: 'minute', every: null })).toHaveLength(9_001)
  for (const ms of [9_000 * 60_000 + 1, 8_000 * 366 * 24 * HOUR_MS]) {
    expect(() => bucketEdges(of(ms), { unit: 'minute', every: null })).toThrow(AppError)
  }
})

test.each(['every_0_days', 'every_-1_days', 'secondly', 'every_1.5_hours', 'every_9999999_years', 5, {}, ['daily']])(
  'interval %j is refused',
  (interval) => {
    expect(() => parseInterval(interval)).toThrow(expect.objectContaining({ code: 'InvalidIntervalError' }))
  },
)

const PROJECT = 'c'.repeat(24)
let opened: Awaited<ReturnType<typeof openTestWarehouse>>
const moments = Array.from({ length: 3_000 }, (_, i) => Date.UTC(2025, 11, 30) + Math.floor(i * 2.93 * HOUR_MS))

beforeAll(async () => {
  opened = await openTestWarehouse()
  await store(
    opened.warehouse,
    moments.map((timestampMs, i) => ({
      project: PROJECT,
      collection: 'ticks',
      timestampMs,
      createdAtMs: timestampMs,
      id: hexId(i),
      body: '{}',
    })),
  )
})
afterAll(async () => {
  await opened.close()
})

test.each(ZONES)('the warehouse counts each event in its bucket in %s', async (timezone) => {
  for (const interval of ['hourly', 'daily', 'weekly', 'monthly', 'every_5_hours', 'every_3_days', 'every_2_months']) {
    const fields = { event_collection: 'ticks', timeframe: 'this_1_year', timezone, interval }
    const result = (await ask(opened.warehouse, grantFor(PROJECT), 'count', fields, NOW)) as {
      readonly value: number
      readonly timeframe: { readonly start: string; readonly end: string }
    }[]
    for (const { value, timeframe } of result) {
      const [start, end] = [Date.parse(timeframe.start), Date.parse(timeframe.end)]
      expect(value).toBe(moments.filter((ms) => ms >= start && ms < end).length)
    }
  }
})

test('bounds are printed in the zone of the query', () => {
  expect(printMoment(Date.UTC(2016, 2, 1, 8), 'US/Pacific')).toBe('2016-03-01T00:00:00.000-08:00')
  expect(printMoment(Date.UTC(2016, 2, 1, 8), 'Etc/UTC')).toBe('2016-03-01T08:00:00.000Z')
  expect(printMoment(Date.UTC(2016, 2, 1), parseZone('19800'))).toBe('2016-03-01T05:30:00.000+05:30')
})

test.each(['Mars/Olympus', 1, '90061', true, {}, '+25:00', '\0'])('timezone %j is refused', (zone) => {
  expect(() => parseZone(zone)).toThrow(expect.objectContaining({ code: 'InvalidTimezoneError' }))
})
