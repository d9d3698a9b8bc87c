import { parseTimestamp } from '../timestamp.ts'
import type { AddonResult } from './addon.ts'

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const OFFSET = /([+-])(\d\d):?(\d\d)?$/
const MINUTE_MS = 60_000

/**
 * The parts of an ISO 8601 time as it is written, that is in its own zone. Weeks begin on Sunday: `day_of_week` is 1
 * for Sunday to 7 for Saturday.
 */
export function parseDateTime(text: string): AddonResult {
  const ms = parseTimestamp(text)
  if (ms === undefined) return 'input_invalid'
  const offset = offsetMinutes(text)
  const local = new Date(ms + offset * MINUTE_MS)
  const day = local.getUTCDay()
  const month = local.getUTCMonth()
  return {
    year: local.getUTCFullYear(),
    month: month + 1,
    month_string: MONTHS[month],
    day: local.getUTCDate(),
    day_string: DAYS[day],
    day_of_week: day + 1,
    day_of_week_string: DAYS[day],
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    second: local.getUTCSeconds(),
    millisecond: local.getUTCMilliseconds(),
    timezone_offset: offsetText(offset),
  }
}

/** Of a text that is a good time: behind its date, a sign begins the zone. */
function offsetMinutes(text: string): number {
  const [, sign, hours, minutes] = OFFSET.exec(text.slice(10)) ?? []
  if (sign === undefined) return 0
  const total = Number(hours) * 60 + Number(minutes ?? 0)
  return sign === '-' ? -total : total
}

function offsetText(minutes: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const total = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(total / 60))}:${two(total % 60)}`
}
