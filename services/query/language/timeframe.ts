import { Temporal } from 'temporal-polyfill'
import { AppError } from '../../shared/errors.ts'
import { parseDateTime } from '../../shared/filters/datetime.ts'
import type { TimeframeNode, Unit } from './tree.ts'
import { zoneAtOffset } from './zone.ts'

/** A stretch of time, start inclusive and end exclusive, with the zone whose calendar it follows. */
export interface Timeframe {
  readonly startMs: number
  readonly endMs: number
  readonly zone: string
  /** Whether the edges lie on the calendar's own (relative) or anywhere (absolute). */
  readonly kind: TimeframeNode['kind']
}

/** Far beyond any data, near enough to be printed with four digits. */
const MOMENT_MIN_MS = Date.parse('0001-01-01T00:00:00Z')
const MOMENT_MAX_MS = Date.parse('9999-12-31T23:59:59Z')
const COUNT_MAX = 10_000_000

const RELATIVE = /^(this|previous|last)_(?:(\d{1,9})_)?(minute|hour|day|week|month|year)s?$/
const ALIASES: Readonly<Record<string, TimeframeNode>> = {
  today: { kind: 'relative', base: 'this', count: 1, unit: 'day' },
  yesterday: { kind: 'relative', base: 'previous', count: 1, unit: 'day' },
}

/** `this_7_days`, `today`, or `{start, end}`. Throws MissingRequiredRequestFieldError, InvalidTimeframeError. */
export function parseTimeframe(value: unknown): TimeframeNode {
  if (value === undefined || value === null || value === '') {
    throw new AppError('MissingRequiredRequestFieldError', 'timeframe is required.')
  }
  if (typeof value === 'string') return parseRelative(value)
  if (typeof value === 'object' && !Array.isArray(value))
    return parseAbsolute(value as Readonly<Record<string, unknown>>)
  throw invalid('must be a relative timeframe such as this_7_days, or an object with start and end')
}

function parseRelative(text: string): TimeframeNode {
  const alias = Object.hasOwn(ALIASES, text) ? ALIASES[text] : undefined
  if (alias !== undefined) return alias
  const match = RELATIVE.exec(text)
  if (match === null) throw invalid('must look like this_7_days, previous_2_months or today')
  const count = Number(match[2] ?? 1)
  if (count < 1 || count > COUNT_MAX) throw invalid(`must count from 1 to ${COUNT_MAX} units`)
  return { kind: 'relative', base: match[1] === 'this' ? 'this' : 'previous', count, unit: match[3] as Unit }
}

function parseAbsolute(value: Readonly<Record<string, unknown>>): TimeframeNode {
  const start = parseBound(value['start'], 'start')
  const end = parseBound(value['end'], 'end')
  if (end.epochMs <= start.epochMs) throw invalid('must have its end after its start')
  return { kind: 'absolute', startMs: start.epochMs, endMs: end.epochMs, offsetMinutes: start.offsetMinutes }
}

function parseBound(value: unknown, name: 'start' | 'end') {
  const moment = typeof value === 'string' ? parseDateTime(value.trim()) : undefined
  if (moment === undefined) {
    throw new AppError('InvalidTimeframeError', `timeframe.${name} must be an ISO-8601 date and time.`)
  }
  return moment
}

/** Where a timeframe lies when asked at `nowMs`. Throws InvalidTimeframeError for one that begins before all calendars. */
export function resolveTimeframe(node: TimeframeNode, zone: string, nowMs: number): Timeframe {
  if (node.kind === 'fixed') return node
  if (node.kind === 'absolute') {
    return { startMs: node.startMs, endMs: node.endMs, zone: zoneAtOffset(node.offsetMinutes), kind: node.kind }
  }
  try {
    const current = startOfUnit(Temporal.Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(zone), node.unit)
    // The current unit counts as whole, so that an hourly chart of today has all of today's hours.
    const [start, end] =
      node.base === 'this'
        ? [unitsFrom(current, node.unit, 1 - node.count), unitsFrom(current, node.unit, 1)]
        : [unitsFrom(current, node.unit, -node.count), current]
    const timeframe = { startMs: start.epochMilliseconds, endMs: end.epochMilliseconds, zone, kind: node.kind }
    if (timeframe.startMs < MOMENT_MIN_MS || timeframe.endMs > MOMENT_MAX_MS) throw new RangeError('out of calendar')
    return timeframe
  } catch (error) {
    throw new AppError('InvalidTimeframeError', 'timeframe reaches too far back.', { cause: error })
  }
}

/** The beginning of the minute, hour, day, week (Sunday), month or year around a moment, in its own zone. */
export function startOfUnit(moment: Temporal.ZonedDateTime, unit: Unit): Temporal.ZonedDateTime {
  switch (unit) {
    case 'minute':
      return moment.with({ second: 0, millisecond: 0, microsecond: 0, nanosecond: 0 })
    case 'hour':
      return moment.with({ minute: 0, second: 0, millisecond: 0, microsecond: 0, nanosecond: 0 })
    case 'day':
      return moment.startOfDay()
    case 'week':
      // ISO days run from Monday (1) to Sunday (7).
      return dayStart(moment.toPlainDate().subtract({ days: moment.dayOfWeek % 7 }), moment.timeZoneId)
    case 'month':
      return dayStart(moment.toPlainDate().with({ day: 1 }), moment.timeZoneId)
    case 'year':
      return dayStart(moment.toPlainDate().with({ month: 1, day: 1 }), moment.timeZoneId)
    default:
      return unit satisfies never
  }
}

/** Minutes and hours are lengths of time; days and longer are steps of the calendar. */
export function addUnits(moment: Temporal.ZonedDateTime, unit: Unit, count: number): Temporal.ZonedDateTime {
  switch (unit) {
    case 'minute':
      return moment.add({ minutes: count })
    case 'hour':
      return moment.add({ hours: count })
    case 'day':
      return moment.add({ days: count })
    case 'week':
      return moment.add({ weeks: count })
    case 'month':
      return moment.add({ months: count })
    case 'year':
      return moment.add({ years: count })
    default:
      return unit satisfies never
  }
}

/** A day that begins at one o'clock (the clock was put forward at midnight) must not move the beginnings of the others. */
const unitsFrom = (current: Temporal.ZonedDateTime, unit: Unit, count: number): Temporal.ZonedDateTime =>
  startOfUnit(addUnits(current, unit, count), unit)

const dayStart = (date: Temporal.PlainDate, zone: string): Temporal.ZonedDateTime => date.toZonedDateTime(zone)

const invalid = (problem: string): AppError => new AppError('InvalidTimeframeError', `timeframe ${problem}.`)
