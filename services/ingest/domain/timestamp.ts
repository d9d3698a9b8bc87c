/** Date, and time and zone if any: `2012-08-13`, `2012-08-13T19:00Z`, `2012-08-13 19:00:00.123456789-0800`. */
const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{0,9}))?)?\s?(?:([Zz])|([+-])(\d{2}):?(\d{2})?)?)?$/

const MINUTE_MS = 60_000
const EARLIEST_MS = 0
const LATEST_MS = Date.UTC(2200, 0, 1)

/**
 * Milliseconds since 1970 of an ISO 8601 time; what is finer is cut off, and a time without a zone is UTC. Undefined
 * when it is no such time, or not within 1970 to 2199.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = ISO.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', , sign, zoneHours, zoneMinutes] =
    match
  const [y, mo, d, h, mi, s] = [Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second)]
  // A second of 60 is a leap second, and the first of the next minute.
  if (mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || s > 60) return undefined
  const offset = Number(zoneHours ?? 0) * 60 + Number(zoneMinutes ?? 0)
  if (Number(zoneHours ?? 0) > 23 || Number(zoneMinutes ?? 0) > 59) return undefined
  const local = Date.UTC(y, mo - 1, d, h, mi, s, Number(fraction.slice(0, 3).padEnd(3, '0')))
  const ms = local - (sign === '-' ? -offset : offset) * MINUTE_MS
  return ms >= EARLIEST_MS && ms < LATEST_MS ? ms : undefined
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
}
