import type { LoggedEvent } from '../../shared/events/event.ts'

const NEWLINE = 0x0a
const RETURN = 0x0d

/** What the longest head needs. */
export const HEAD_BYTES_MAX = 256
export const LINE_END = Buffer.from('}\n')

const ID = Buffer.from('{"id":"')
const TIMESTAMP = Buffer.from('","timestamp":"')
const CREATED_AT = Buffer.from('","created_at":"')
const OFFSET = Buffer.from('","offset":')
const REPEAT_KEY = Buffer.from(',"repeat_key":"')
const AFTER_REPEAT_KEY = Buffer.from('","properties":')
const PROPERTIES = Buffer.from(',"properties":')
const HEX = Buffer.from('0123456789abcdef')
const DASH = 0x2d
const ZERO = 0x30
const Z = 0x5a
/** A UUID has a dash before these of its bytes. */
const isAfterDash = (index: number): boolean => index === 4 || index === 6 || index === 8 || index === 10

/**
 * Writes the front of an archived event's line of JSON at `at` and returns where it ends; there are `HEAD_BYTES_MAX` bytes of
 * room. A line has `id`, `timestamp`, `created_at` (when it arrived), `offset`, `repeat_key` where it has one, and
 * `properties` as they were sent. What is the same for a whole object (project, collection, partition) stands in its manifest.
 * The head is ASCII and ends where the properties begin; after them comes `LINE_END`. Byte by byte: it runs for every event,
 * and texts that are put together first take twice as long.
 */
export function writeHead(
  target: Buffer,
  at: number,
  { id, timestampMs, createdAtMs, repeatKey }: LoggedEvent,
  offset: bigint,
): number {
  let to = writeBytes(target, at, ID)
  for (let i = 0; i < id.length; i += 1) {
    if (isAfterDash(i)) target[to++] = DASH
    to = writeHex(target, to, id[i] ?? 0)
  }
  to = timestamps.write(target, writeBytes(target, to, TIMESTAMP), timestampMs)
  to = receipts.write(target, writeBytes(target, to, CREATED_AT), createdAtMs)
  to = writeBytes(target, to, OFFSET)
  const digits = String(offset)
  for (let i = 0; i < digits.length; i += 1) target[to++] = digits.charCodeAt(i)
  if (repeatKey === null) return writeBytes(target, to, PROPERTIES)
  to = writeBytes(target, to, REPEAT_KEY)
  for (let i = 0; i < repeatKey.length; i += 1) to = writeHex(target, to, repeatKey[i] ?? 0)
  return writeBytes(target, to, AFTER_REPEAT_KEY)
}

function writeBytes(target: Buffer, at: number, bytes: Buffer): number {
  for (let i = 0; i < bytes.length; i += 1) target[at + i] = bytes[i] ?? 0
  return at + bytes.length
}

function writeHex(target: Buffer, at: number, byte: number): number {
  target[at] = HEX[byte >> 4] ?? 0
  target[at + 1] = HEX[byte & 15] ?? 0
  return at + 2
}

/** Writes times as `2025-01-31T23:59:59.123Z`; most events of a range share their second with the one before. */
class TimeWriter {
  #second = Number.NaN
  #text = Buffer.alloc(0)

  write(target: Buffer, at: number, ms: number): number {
    const second = Math.floor(ms / 1_000)
    if (second !== this.#second) {
      this.#text = Buffer.from(new Date(second * 1_000).toISOString().slice(0, -4))
      this.#second = second
    }
    const rest = ms - second * 1_000
    const to = writeBytes(target, at, this.#text)
    target[to] = ZERO + Math.floor(rest / 100)
    target[to + 1] = ZERO + (Math.floor(rest / 10) % 10)
    target[to + 2] = ZERO + (rest % 10)
    target[to + 3] = Z
    return to + 4
  }
}

const timestamps = new TimeWriter()
const receipts = new TimeWriter()

/** Line breaks between the tokens of JSON as it was sent would end the line; spaces mean the same there. */
export function writeOnOneLine(target: Buffer, at: number, json: Buffer): number {
  target.set(json, at)
  for (const mark of [NEWLINE, RETURN]) {
    for (let i = json.indexOf(mark); i !== -1; i = json.indexOf(mark, i + 1)) target[at + i] = 0x20
  }
  return at + json.length
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

/** The event in a line, given without its line break; undefined for a line that `writeHead` did not begin. */
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
