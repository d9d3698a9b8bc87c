import { idText, type LoggedEvent } from '../../shared/events/event.ts'

const NEWLINE = 0x0a
const RETURN = 0x0d

/**
 * An archived event as a line of JSON: `id`, `timestamp`, `created_at` (when it arrived), `offset`, `repeat_key` where it has
 * one, and `properties` as they were sent. What is the same for a whole object (project, collection, partition) stands in
 * its manifest. The head is ASCII and ends where the properties begin; after them come `LINE_END`.
 */
export function lineHead({ id, timestampMs, createdAtMs, repeatKey }: LoggedEvent, offset: bigint): string {
  const times = `"timestamp":"${isoText(timestampMs)}","created_at":"${isoText(createdAtMs)}"`
  const repeat = repeatKey === null ? '' : `"repeat_key":"${repeatKey.toString('hex')}",`
  return `{"id":"${idText(id)}",${times},"offset":${offset},${repeat}"properties":`
}

export const LINE_END = '}\n'

/** Line breaks between the tokens of JSON as it was sent would end the line; spaces mean the same there. Changes `bytes`. */
export function onOneLine(bytes: Buffer): void {
  for (const mark of [NEWLINE, RETURN]) {
    for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + 1)) bytes[at] = 0x20
  }
}

let lastSecond = Number.NaN
let lastText = ''

/** `2025-01-31T23:59:59.123Z`; most events of a range share their second with the one before. */
function isoText(ms: number): string {
  const second = Math.floor(ms / 1_000)
  if (second !== lastSecond) {
    lastText = new Date(second * 1_000).toISOString().slice(0, -4)
    lastSecond = second
  }
  return `${lastText}${String(ms - second * 1_000).padStart(3, '0')}Z`
}
