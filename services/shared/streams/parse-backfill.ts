import { parseDateTime } from '../filters/datetime.ts'
import { BodyPart, wrong } from './body-part.ts'

/** The stretch of time of a back-fill's body, by arrival. Throws errors with status 400 that name the field. */
export function parseBackfill(json: unknown, nowMs: number): { readonly startMs: number; readonly endMs: number } {
  const body = new BodyPart(json, '', ['start', 'end'])
  const time = (name: 'start' | 'end'): number => {
    const ms = parseDateTime(body.text(name, /^.*$/s, 'a text'))?.epochMs
    if (ms === undefined || ms < 0)
      throw wrong(body.field(name), 'must be an ISO-8601 date, perhaps with a time, from 1970 on')
    return ms
  }
  const [startMs, endMs] = [time('start'), time('end')]
  if (endMs <= startMs) throw wrong('end', 'must be after start')
  if (endMs > nowMs) throw wrong('end', 'must not lie in the future: the stream itself delivers what is to come')
  return { startMs, endMs }
}
