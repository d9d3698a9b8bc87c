import { Temporal } from 'temporal-polyfill'
import { AppError } from '../../shared/errors.ts'

const OFFSET_S_MAX = 64_800

/**
 * A time zone as callers give it: seconds east of UTC as a number or as digits, or a name of the tz database. Gives the
 * form that Temporal takes. Absent is UTC. Throws InvalidTimezoneError.
 */
export function parseZone(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'UTC'
  if (typeof value === 'number') return offsetZone(value)
  if (typeof value === 'string') {
    const text = value.trim()
    if (/^[+-]?\d+(?:\.0*)?$/.test(text)) return offsetZone(Number(text))
    if (/^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/.test(text) || /^[+-]\d{2}:?\d{2}$/.test(text)) return namedZone(text)
  }
  throw new AppError('InvalidTimezoneError', 'timezone must be an offset from UTC in seconds or a time zone name.')
}

/** The zone that is so many minutes east of UTC all year round. */
export function zoneAtOffset(minutes: number): string {
  if (minutes === 0) return 'UTC'
  const [hour, minute] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `${minutes < 0 ? '-' : '+'}${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`
}

/** A moment as callers see it: `Z` in UTC, else wall time with the zone's offset. */
export function printMoment(epochMs: number, zone: string): string {
  if (isUtc(zone)) return new Date(epochMs).toISOString()
  return Temporal.Instant.fromEpochMilliseconds(epochMs).toString({ timeZone: zone, fractionalSecondDigits: 3 })
}

export const isUtc = (zone: string): boolean => /^(?:etc\/)?(?:utc|uct|universal|zulu)$/i.test(zone)

function offsetZone(seconds: number): string {
  if (!Number.isInteger(seconds) || seconds % 60 !== 0 || Math.abs(seconds) > OFFSET_S_MAX) {
    throw new AppError('InvalidTimezoneError', 'timezone must be whole minutes, in seconds, within 18 hours of UTC.')
  }
  return zoneAtOffset(seconds / 60)
}

function namedZone(name: string): string {
  try {
    return new Temporal.ZonedDateTime(0n, name).timeZoneId
  } catch (error) {
    throw new AppError('InvalidTimezoneError', 'timezone is not a known time zone name.', { cause: error })
  }
}
