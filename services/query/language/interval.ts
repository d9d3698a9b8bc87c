import { Temporal } from 'temporal-polyfill'
import { AppError } from '../../shared/errors.ts'
import { addUnits, startOfUnit, type Timeframe } from './timeframe.ts'
import type { IntervalNode, Unit } from './tree.ts'

export const BUCKETS_MAX = 9_000

const NAMED: Readonly<Record<string, Unit>> = {
  minutely: 'minute',
  hourly: 'hour',
  daily: 'day',
  weekly: 'week',
  monthly: 'month',
  yearly: 'year',
}
const EVERY = /^every_(\d{1,9})_(minute|hour|day|week|month|year)s?$/

/** Keeps the first edge past a timeframe inside every calendar, also in years. */
const EVERY_MAX = 100_000

const MINUTE_MS = 60_000
const FIXED_MS: Readonly<Partial<Record<Unit, number>>> = { minute: MINUTE_MS, hour: 60 * MINUTE_MS }
const CALENDAR_MS: Readonly<Partial<Record<Unit, number>>> = { day: 1_440 * MINUTE_MS, week: 10_080 * MINUTE_MS }

/** `daily`, `every_3_hours`; absent is null. Throws InvalidIntervalError. */
export function parseInterval(value: unknown): IntervalNode | null {
  if (value === undefined || value === null || value === '') return null
  const named = typeof value === 'string' && Object.hasOwn(NAMED, value) ? NAMED[value] : undefined
  if (named !== undefined) return { unit: named, every: null }
  const match = typeof value === 'string' ? EVERY.exec(value) : null
  const count = Number(match?.[1])
  if (match === null || count < 1 || count > EVERY_MAX) {
    throw new AppError('InvalidIntervalError', 'interval must look like daily or every_3_hours.')
  }
  return { unit: match[2] as Unit, every: count }
}

/**
 * Edges of the buckets in ascending order, in milliseconds: n + 1 of them for n buckets, the first the start of the
 * timeframe and the last its end. Throws TooManyBucketsError past `bucketsMax`.
 */
export function bucketEdges(timeframe: Timeframe, interval: IntervalNode, bucketsMax = BUCKETS_MAX): readonly number[] {
  const edges = [timeframe.startMs]
  for (const edge of innerEdges(timeframe, interval)) {
    if (edge >= timeframe.endMs) break
    if (edges.push(edge) > bucketsMax) {
      throw new AppError('TooManyBucketsError', `interval cuts the timeframe into more than ${bucketsMax} buckets.`)
    }
  }
  return [...edges, timeframe.endMs]
}

/** Every edge after the start, for ever; the caller stops at the end. */
function innerEdges(timeframe: Timeframe, interval: IntervalNode): Generator<number> {
  const width = evenWidth(timeframe, interval)
  const start = Temporal.Instant.fromEpochMilliseconds(timeframe.startMs).toZonedDateTimeISO(timeframe.zone)
  if (interval.every !== null) {
    return width === undefined
      ? everyFrom(start, interval.unit, interval.every)
      : evenFrom(timeframe.startMs + width * interval.every, width * interval.every)
  }
  const first = startOfUnit(start, interval.unit)
  return width === undefined
    ? calendarFrom(first, interval.unit, timeframe.startMs)
    : evenFrom(first.epochMilliseconds + width, width)
}

/** The unit's width where the calendar cannot change it inside the timeframe; arithmetic is a hundred times as fast as a calendar. */
function evenWidth(timeframe: Timeframe, interval: IntervalNode): number | undefined {
  const width = FIXED_MS[interval.unit] ?? CALENDAR_MS[interval.unit]
  if (width === undefined) return undefined
  if (interval.every !== null && interval.unit in FIXED_MS) return width
  const from = timeframe.startMs - width
  const next = Temporal.Instant.fromEpochMilliseconds(from)
    .toZonedDateTimeISO(timeframe.zone)
    .getTimeZoneTransition('next')
  return next === null || next.epochMilliseconds > timeframe.endMs + width ? width : undefined
}

function* evenFrom(first: number, width: number): Generator<number> {
  for (let edge = first; ; edge += width) yield edge
}

/** Each edge is counted from the start, not from the last one: a month after 31 January must not shorten all that follow. */
function* everyFrom(start: Temporal.ZonedDateTime, unit: Unit, every: number): Generator<number> {
  for (let i = 1; ; i++) yield addUnits(start, unit, i * every).epochMilliseconds
}

function* calendarFrom(first: Temporal.ZonedDateTime, unit: Unit, startMs: number): Generator<number> {
  let edge = first
  for (;;) {
    const next = addUnits(edge, unit, 1)
    const aligned = startOfUnit(next, unit)
    // A clock set back by half an hour puts the start of the next local hour before this edge.
    edge = aligned.epochMilliseconds > edge.epochMilliseconds ? aligned : next
    if (edge.epochMilliseconds > startMs) yield edge.epochMilliseconds
  }
}
