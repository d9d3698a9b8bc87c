const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?(?:[Zz]|([+\- ])(\d{2}):?(\d{2}))?$/

export interface DateTime {
  readonly epochMs: number
  /** Offset east of UTC that was written, in minutes; 0 when none was. */
  readonly offsetMinutes: number
}

/**
 * Reads an ISO-8601 date or date and time. Without an offset it is UTC; a fraction is cut to milliseconds. A blank where
 * the sign of the offset should be is a plus that a URL decoder ate. Undefined when it is not one.
 */
export function parseDateTime(text: string): DateTime | undefined {
  const match = ISO.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction, sign, offsetHour, offsetMinute] = match
  const local = new Date(0)
  local.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  local.setUTCHours(
    Number(hour ?? 0),
    Number(minute ?? 0),
    Number(second ?? 0),
    Number((fraction ?? '').padEnd(3, '0').slice(0, 3)),
  )
  // A day or an hour that is not there (31 June, 25:00) would have run over into the next.
  const isReal =
    local.getUTCMonth() === Number(month) - 1 &&
    local.getUTCDate() === Number(day) &&
    Number(hour ?? 0) < 24 &&
    Number(minute ?? 0) < 60 &&
    Number(second ?? 0) < 60
  if (!isReal || Number(offsetHour ?? 0) > 23 || Number(offsetMinute ?? 0) > 59) return undefined
  const magnitude = Number(offsetHour ?? 0) * 60 + Number(offsetMinute ?? 0)
  const offsetMinutes = sign === '-' && magnitude > 0 ? -magnitude : magnitude
  return { epochMs: local.getTime() - offsetMinutes * 60_000, offsetMinutes }
}
