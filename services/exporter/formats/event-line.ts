import { TIME_BYTES, TimeText } from '../domain/time-text.ts'
import { isObject, type JsonObject, type JsonValue, parseAsWritten } from './exact-json.ts'
import type { FileEvent, LineWriter } from './format.ts'

const OPEN = 0x7b
const CLOSE = 0x7d
const COMMA = 0x2c
const SPACE = 0x20
const LINE_BREAKS = [0x0a, 0x0d] as const
const END = Buffer.from('}\n')
/**
 * The name as it is, or with one of its letters escaped (k, e and n are \u006b, \u0065 and \u006e). Without the quote before
 * it: a search stops at each byte that is its first one, and JSON is full of quotes.
 */
const KEEN_NAME = Buffer.from('keen"')
const ESCAPED_LETTER = Buffer.from('\\u006')

/** What stands around the texts of a line's front; after it come a comma and the properties. */
export const FRONT = {
  beforeTimestamp: '{"keen":{"timestamp":"',
  beforeCreatedAt: '","created_at":"',
  beforeId: '","id":"',
  afterId: '"}',
} as const
const BEFORE_TIMESTAMP = Buffer.from(FRONT.beforeTimestamp)
const BEFORE_CREATED_AT = Buffer.from(FRONT.beforeCreatedAt)
const BEFORE_ID = Buffer.from(FRONT.beforeId)
const AFTER_ID = Buffer.from(FRONT.afterId)
const FRAME_BYTES =
  BEFORE_TIMESTAMP.length +
  BEFORE_CREATED_AT.length +
  BEFORE_ID.length +
  AFTER_ID.length +
  2 * TIME_BYTES +
  1 +
  END.length

/**
 * JSON that is taken apart and written again gets no longer, but where a byte was no UTF-8: what stands for it then has so many.
 */
const REWRITTEN_BYTES_MAX = 3

const timestamps = new TimeText()
const receipts = new TimeText()

/**
 * An event as a line of JSON, ended by a line feed, as Keen lays events out: `keen` first, then the properties, in bytes as they
 * are. Line breaks between their tokens become spaces. An event that has a `keen` of its own is taken apart: ours goes over what
 * is in it (or over all of it, when it is no object), and the numbers stay as they were written.
 */
export const eventLine: LineWriter = {
  bytesMax({ id, properties }) {
    return FRAME_BYTES + id.length + REWRITTEN_BYTES_MAX * properties.length
  },
  write(target, at, event) {
    const { properties } = event
    const own = mayHaveKeen(properties) ? parseAsWritten(properties.toString()) : undefined
    if (own === undefined || !Object.hasOwn(own, 'keen')) return writePlain(target, at, event, properties)
    return at + target.write(mergedText(event, own), at)
  },
}

/** An event without a `keen` of its own. */
function writePlain(target: Buffer, at: number, event: FileEvent, body: Buffer): number {
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

/** Whether an event's properties, or those of any of several lines, may have a `keen` of their own. */
export const mayHaveKeen = (properties: Buffer): boolean =>
  properties.includes(KEEN_NAME) || properties.includes(ESCAPED_LETTER)

function mergedText(event: FileEvent, { keen, ...others }: JsonObject): string {
  const own: JsonValue = keen !== undefined && isObject(keen) ? keen : {}
  return `${JSON.stringify({ keen: { ...own, ...keenOf(event) }, ...others })}\n`
}

function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) if (!/\s/.test(String.fromCharCode(bytes[i] ?? SPACE))) return false
  return true
}
