const EARLIEST_MS = 0
const LATEST_MS = Date.UTC(2200, 0, 1)
const FRACTION_DIGITS_MAX = 9

/**
 * Milliseconds since 1970 of an ISO 8601 time: `2012-08-13`, `2012-08-13T19:00Z`, `2012-08-13 19:00:00.123456789-0800`.
 * What is finer is cut off, and a time without a zone is UTC. Undefined when it is no such time, or not within 1970 to
 * 2199. Reads characters, not a regular expression's groups: this runs for nearly every event.
 */
export function parseTimestamp(text: string): number | undefined {
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  if (text[4] !== '-' || text[7] !== '-' || !(month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) {
    return undefined
  }
  const midnightMs = Date.UTC(year, month - 1, day)
  const ms = text.length === 10 ? midnightMs : midnightMs + timeOfDayMs(text)
  return ms >= EARLIEST_MS && ms < LATEST_MS ? ms : undefined
}

/** From the eleventh character on; NaN when it is no time. */
function timeOfDayMs(text: string): number {
  const separator = text[10]
  if ((separator !== 'T' && separator !== 't' && separator !== ' ') || text[13] !== ':') return Number.NaN
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  let second = 0
  let milli = 0
  let position = 16
  if (text[position] === ':') {
    second = digits(text, 17, 2)
    position = 19
    if (text[position] === '.' || text[position] === ',') {
      const from = position + 1
      position = from
      while (position - from < FRACTION_DIGITS_MAX && isDigit(text.charCodeAt(position))) {
        if (position - from < 3) milli += (text.charCodeAt(position) - 48) * 10 ** (2 - (position - from))
        position += 1
      }
    }
  }
  // A second of 60 is a leap second, and the first of the next minute.
  if (!(hour <= 23 && minute <= 59 && second <= 60)) return Number.NaN
  return ((hour * 60 + minute - offsetMinutes(text, position)) * 60 + second) * 1_000 + milli
}

/** Of the zone that stands at `position` and ends the text: `Z`, `+01`, `+0100`, `+01:00` or nothing. NaN for any other. */
function offsetMinutes(text: string, position: number): number {
  const at = text[position] === ' ' ? position + 1 : position
  if (at === text.length) return at === position ? 0 : Number.NaN
  const sign = text[at]
  if (sign === 'Z' || sign === 'z') return at + 1 === text.length ? 0 : Number.NaN
  if (sign !== '+' && sign !== '-') return Number.NaN
  const hours = digits(text, at + 1, 2)
  let minutes = 0
  if (at + 3 !== text.length) {
    const from = text[at + 3] === ':' ? at + 4 : at + 3
    minutes = from + 2 === text.length ? digits(text, from, 2) : Number.NaN
  }
  if (!(hours <= 23 && minutes <= 59)) return Number.NaN
  return sign === '-' ? -(hours * 60 + minutes) : hours * 60 + minutes
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** The number that so many digits stand for; NaN when there are others. */
function digits(text: string, from: number, count: number): number {
  let value = 0
  for (let i = from; i < from + count; i += 1) {
    const code = text.charCodeAt(i)
    if (!isDigit(code)) return Number.NaN
    value = value * 10 + code - 48
  }
  return value
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
}
