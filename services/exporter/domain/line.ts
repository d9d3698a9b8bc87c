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

/** An event as it stands in a line of the archive. */
export interface ArchivedEvent {
  /** UUID text. */
  readonly id: string
  readonly timestampMs: number
  readonly createdAtMs: number
  readonly offset: bigint
  /** 32 hexadecimal digits, or null. */
  readonly repeatKey: string | null
  /** UTF-8 JSON text, as it was sent. A view. */
  readonly properties: Buffer
  /** All of it, without its line break. A view. */
  readonly line: Buffer
}

const HEAD =
  /^\{"id":"([0-9a-f-]{36})","timestamp":"([^"]{24})","created_at":"([^"]{24})","offset":(\d{1,20}),(?:"repeat_key":"([0-9a-f]{32})",)?"properties":/
/** What the longest head needs. */
const HEAD_BYTES_MAX = 256

/** The event in a line, given without its line break; undefined for a line that `lineHead` did not begin. */
export function parseLine(line: Buffer): ArchivedEvent | undefined {
  const match = HEAD.exec(line.toString('latin1', 0, HEAD_BYTES_MAX))
  if (match === null || line.at(-1) !== 0x7d) return undefined
  const [head, id = '', timestamp = '', created = '', offset = '', repeatKey = null] = match
  return {
    id,
    timestampMs: Date.parse(timestamp),
    createdAtMs: Date.parse(created),
    offset: BigInt(offset),
    repeatKey,
    properties: line.subarray(head.length, -1),
    line,
  }
}
