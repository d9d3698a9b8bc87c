import { isObject, type JsonObject, type JsonValue, parseAsWritten } from './exact-json.ts'
import type { FileEvent } from './format.ts'

const OPEN = 0x7b
const CLOSE = 0x7d
const SPACE = 0x20
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const END = Buffer.from('}\n')
/** The name as it is, or with one of its letters escaped (k, e and n are \u006b, \u0065 and \u006e). */
const KEEN_NAME = Buffer.from('"keen"')
const ESCAPED_LETTER = Buffer.from('\\u006')

/**
 * An event as one line of JSON, ended by a line feed, as Keen lays events out: `keen` first, then the properties, in bytes
 * as they are. Line breaks between their tokens become spaces. An event that has a `keen` of its own is taken apart: ours
 * goes over what is in it (or over all of it, when it is no object), and the numbers stay as they were written. In pieces
 * that are to be joined.
 */
export function eventLine(event: FileEvent): readonly Buffer[] {
  const { properties } = event
  const own = mayHaveKeen(properties) ? parseAsWritten(properties.toString()) : undefined
  if (own !== undefined && Object.hasOwn(own, 'keen')) return [mergedLine(event, own)]
  const body = withoutLineBreaks(properties)
  const from = body.indexOf(OPEN) + 1
  const to = body.lastIndexOf(CLOSE)
  const head = `{"keen":${JSON.stringify(keenOf(event))}`
  return isBlank(body, from, to) ? [Buffer.from(head), END] : [Buffer.from(`${head},`), body.subarray(from, to), END]
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

/** Strings have their line breaks escaped, so those that are there stand between tokens. */
function withoutLineBreaks(json: Buffer): Buffer {
  if (!json.includes(LINE_FEED) && !json.includes(CARRIAGE_RETURN)) return json
  return Buffer.from(json.map((byte) => (byte === LINE_FEED || byte === CARRIAGE_RETURN ? SPACE : byte)))
}

function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) if (!/\s/.test(String.fromCharCode(bytes[i] ?? SPACE))) return false
  return true
}
