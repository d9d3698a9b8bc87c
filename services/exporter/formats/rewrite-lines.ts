import { FIELDS, findProperties } from '../domain/line.ts'
import { FRONT } from './event-line.ts'

const NEWLINE = 0x0a
const OPEN = 0x7b
const CLOSE = 0x7d
const QUOTE = 0x22

const { id, timestamp, createdAt } = FIELDS
const TIMESTAMP_TO = FRONT.beforeTimestamp.length
const CREATED_AT_TO = TIMESTAMP_TO + timestamp.bytes + FRONT.beforeCreatedAt.length
const ID_TO = CREATED_AT_TO + createdAt.bytes + FRONT.beforeId.length
/** What a delivered line begins with, up to the first of the properties. It is shorter than what the archive's begins with. */
const head = Buffer.from(
  [
    FRONT.beforeTimestamp + ' '.repeat(timestamp.bytes),
    FRONT.beforeCreatedAt + ' '.repeat(createdAt.bytes),
    FRONT.beforeId + ' '.repeat(id.bytes),
    `${FRONT.afterId},`,
  ].join(''),
)

export interface RewrittenLines {
  readonly events: number
  /** The lines stand between where it began and here. */
  readonly end: number
  /** The next line that was not looked at. */
  readonly next: number
  /** That one is not to be written in this way. */
  readonly isOther: boolean
}

/**
 * Writes lines of the archive as `eventLine` writes their events, over themselves: one behind the other from `from` on, until
 * that is `bytesMax` or more. It ends before a line for which `isOther` holds or that does not look as most do; what that is,
 * is for `eventLine` to say. Most of a delivery's time goes by here: nothing is made for an event, and one copy of it.
 */
export function rewriteLines(
  lines: Buffer,
  from: number,
  bytesMax: number,
  isOther: (propertiesAt: number, end: number) => boolean,
): RewrittenLines {
  let next = from
  let end = from
  let events = 0
  while (next < lines.length && end - from < bytesMax) {
    const close = lines.indexOf(NEWLINE, next) - 1
    const at = findProperties(lines, next, close + 1)
    const isPlain = at !== -1 && lines[at] === OPEN && lines[at + 1] === QUOTE && lines[close - 1] === CLOSE
    if (!isPlain || isOther(at, close)) return { events, end, next, isOther: true }
    copyField(lines, next + timestamp.at, TIMESTAMP_TO, timestamp.bytes)
    copyField(lines, next + createdAt.at, CREATED_AT_TO, createdAt.bytes)
    copyField(lines, next + id.at, ID_TO, id.bytes)
    lines.set(head, end)
    end += head.length
    lines.copyWithin(end, at + 1, close)
    end += close - at - 1
    lines[end] = NEWLINE
    end += 1
    events += 1
    next = close + 2
  }
  return { events, end, next, isOther: false }
}

function copyField(lines: Buffer, from: number, to: number, bytes: number): void {
  for (let i = 0; i < bytes; i += 1) head[to + i] = lines[from + i] as number
}
