import { TIME_BYTES, TimeText } from '../domain/time-text.ts'
import { isObject, type JsonObject, type JsonValue, parseAsWritten } from './exact-json.ts'
import type { FileEvent } from './format.ts'

const OPEN = 0x7b
const CLOSE = 0x7d
const COMMA = 0x2c
const SPACE = 0x20
const LINE_BREAKS = [0x0a, 0x0d] as const
const END = Buffer.from('}\n')
/** The name as it is, or with one of its letters escaped (k, e and n are \u006b, \u0065 and \u006e). */
const KEEN_NAME = Buffer.from('"keen"')
const ESCAPED_LETTER = Buffer.from('\\u006')

const BEFORE_TIMESTAMP = Buffer.from('{"keen":{"timestamp":"')
const BEFORE_CREATED_AT = Buffer.from('","created_at":"')
const BEFORE_ID = Buffer.from('","id":"')
const AFTER_ID = Buffer.from('"}')
const FRAME_BYTES =
  BEFORE_TIMESTAMP.length +
  BEFORE_CREATED_AT.length +
  BEFORE_ID.length +
  AFTER_ID.length +
  2 * TIME_BYTES +
  1 +
  END.length

const timestamps = new TimeText()
const receipts = new TimeText()

/**
 * Events as lines of JSON, each ended by a line feed, as Keen lays events out: `keen` first, then the properties, in bytes
 * as they are. Line breaks between their tokens become spaces. An event that has a `keen` of its own is taken apart: ours
 * goes over what is in it (or over all of it, when it is no object), and the numbers stay as they were written. In pieces
 * that are to be joined.
 */
export function eventLines(events: readonly FileEvent[]): readonly Buffer[] {
  const pieces: Buffer[] = []
  const bodies = events.map(({ properties }) => properties)
  const bytesMax = bodies.reduce((sum, body, i) => sum + FRAME_BYTES + (events[i]?.id.length ?? 0) + body.length, 0)
  const target = Buffer.allocUnsafe(bytesMax)
  let written = 0
  let taken = 0
  for (const [i, event] of events.entries()) {
    const body = bodies[i] as Buffer
    const own = mayHaveKeen(body) ? parseAsWritten(body.toString()) : undefined
    if (own === undefined || !Object.hasOwn(own, 'keen')) {
      written = writeLine(target, written, event, body)
      continue
    }
    pieces.push(target.subarray(taken, written), mergedLine(event, own))
    taken = written
  }
  pieces.push(target.subarray(taken, written))
  return pieces
}

function writeLine(target: Buffer, at: number, event: FileEvent, body: Buffer): number {
  let to = timestamps.write(target, put(target, at, BEFORE_TIMESTAMP), event.timestampMs)
  to = receipts.write(target, put(target, to, BEFORE_CREATED_AT), event.createdAtMs)
  to = put(target, to, BEFORE_ID)
  to += target.write(event.id, to, 'latin1')
  to = put(target, to, AFTER_ID)
  const from = body.indexOf(OPEN) + 1
  const end = body.lastIndexOf(CLOSE)
  if (!isBlank(body, from, end)) {
    target[to] = COMMA
    const start = to + 1
    to = start + body.copy(target, start, from, end)
    // Strings have their line breaks escaped, so those that are there stand between tokens.
    for (const mark of LINE_BREAKS) {
      for (let i = body.indexOf(mark, from); i !== -1 && i < end; i = body.indexOf(mark, i + 1))
        target[start + i - from] = SPACE
    }
  }
  return put(target, to, END)
}

function put(target: Buffer, at: number, bytes: Buffer): number {
  target.set(bytes, at)
  return at + bytes.length
}

const keenOf = (event: FileEvent) => ({
  timestamp: new Date(event.timestampMs).toISOString(),
  created_at: new Date(event.createdAtMs).toISOString(),
  id: event.id,
})

const mayHaveKeen = (properties: Buffer): boolean =>
  properties.includes(KEEN_NAME) || properties.includes(ESCAPED_LETTER)

function mergedLine(event: FileEvent, { keen, ...others }: JsonObject): Buffer {
  const own: JsonValue = keen !== undefined && isObject(keen) ? keen : {}
  return Buffer.from(`${JSON.stringify({ keen: { ...own, ...keenOf(event) }, ...others })}\n`)
}

function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) if (!/\s/.test(String.fromCharCode(bytes[i] ?? SPACE))) return false
  return true
}
