import type { FramedEvent } from '../../shared/events/event.ts'
import { KeptSecond, TIME_BYTES, TimeText, writeMillis } from './time-text.ts'

const NEWLINE = 0x0a
const LINE_BREAKS = [NEWLINE, 0x0d] as const
const SPACE = 0x20

/** What the longest head needs. */
const HEAD_BYTES_MAX = 256
/** A brace and the line break. */
const LINE_END_BYTES = 2

const BEFORE_ID = '{"id":"'
const BEFORE_TIMESTAMP = '","timestamp":"'
const BEFORE_CREATED_AT = '","created_at":"'
const BEFORE_OFFSET = '","offset":'
const ID_BYTES = 36
const KEY_BYTES = 16
/** What every head begins with. */
const template = Buffer.from(
  `${BEFORE_ID}00000000-0000-0000-0000-000000000000${BEFORE_TIMESTAMP}${' '.repeat(TIME_BYTES)}${BEFORE_CREATED_AT}${' '.repeat(TIME_BYTES)}${BEFORE_OFFSET}`,
)
const ID_AT = BEFORE_ID.length
const TIMESTAMP_AT = ID_AT + ID_BYTES + BEFORE_TIMESTAMP.length
const CREATED_AT_AT = TIMESTAMP_AT + TIME_BYTES + BEFORE_CREATED_AT.length
const OFFSET_AT = template.length
const REPEAT_KEY = Buffer.from(',"repeat_key":"')
const AFTER_REPEAT_KEY = Buffer.from('","properties":')
const PROPERTIES = Buffer.from(',"properties":')
const HEX = Buffer.from('0123456789abcdef')
const ZERO = 0x30
/** What follows the digits of an offset. */
const AFTER_OFFSET = 0x2c
const NINE = 0x39
const CLOSE = 0x7d
/** Of a UUID's bytes, those before its dashes. */
const UUID_GROUPS = [4, 2, 2, 2, 6] as const
const SMALL = 2 ** 31

/** What the head of the line before began with: most of it is the same in the next one. */
const head = Buffer.from(template)
const timestamps = new KeptSecond(head, TIMESTAMP_AT)
const receipts = new KeptSecond(head, CREATED_AT_AT)

/** Of a byte, its first digit and its second one. */
const HIGH_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => HEX[byte >> 4] as number)
const LOW_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => HEX[byte & 15] as number)

/**
 * Writes an archived event's line of JSON, with its line break, at `at`, where there are `lineBytesMax` bytes of room; returns
 * where it ends. A line has `id`, `timestamp`, `created_at` (when it arrived), `offset`, `repeat_key` where it has one, and
 * `properties` as they were sent. What is the same for a whole object (project, collection, partition) stands in its manifest.
 * It runs for every event: a copy of the head before with numbers written into it takes a fifth of the time of texts that are
 * put together.
 */
export function writeLine(target: Buffer, at: number, event: FramedEvent, offset: bigint): number {
  const { bytes, propertiesAt, repeatKeyAt, timestampMs, createdAtMs } = event
  const digits = digitsOf(offset)
  const between = repeatKeyAt === -1 ? PROPERTIES.length : REPEAT_KEY.length + 2 * KEY_BYTES + AFTER_REPEAT_KEY.length
  const start = at + OFFSET_AT + digits + between
  writeProperties(target, start, at, bytes, propertiesAt)
  timestamps.put(timestampMs)
  receipts.put(createdAtMs)
  target.set(head, at)
  writeMillis(target, at + TIMESTAMP_AT, timestampMs)
  writeMillis(target, at + CREATED_AT_AT, createdAtMs)
  writeId(target, at + ID_AT, bytes, event.idAt)
  let to = writeOffset(target, at + OFFSET_AT, offset, digits)
  if (repeatKeyAt === -1) target.set(PROPERTIES, to)
  else {
    target.set(REPEAT_KEY, to)
    to = writeHex(target, to + REPEAT_KEY.length, bytes, repeatKeyAt, repeatKeyAt + KEY_BYTES)
    target.set(AFTER_REPEAT_KEY, to)
  }
  const end = start + bytes.length - propertiesAt
  target[end] = CLOSE
  target[end + 1] = NEWLINE
  return end + LINE_END_BYTES
}

/**
 * Writes the JSON that stands in `bytes` from `from` to its end at `start`. Line breaks between its tokens, as it was sent, would
 * end the line; spaces mean the same there. There is nothing yet between `lineAt` and `start`: all of `bytes` is copied where
 * what is before `from` fits in there, since a part would need a view of its own.
 */
function writeProperties(target: Buffer, start: number, lineAt: number, bytes: Buffer, from: number): void {
  if (start - from >= lineAt) target.set(bytes, start - from)
  else bytes.copy(target, start, from)
  for (const mark of LINE_BREAKS) {
    for (let i = bytes.indexOf(mark, from); i !== -1; i = bytes.indexOf(mark, i + 1)) target[start + i - from] = SPACE
  }
}

function writeId(target: Buffer, at: number, bytes: Buffer, from: number): void {
  for (const length of UUID_GROUPS) {
    at = writeHex(target, at, bytes, from, from + length) + 1
    from += length
  }
}

function writeHex(target: Buffer, at: number, bytes: Buffer, from: number, to: number): number {
  for (let i = from; i < to; i += 1) {
    const byte = bytes[i] as number
    target[at] = HIGH_DIGIT[byte] as number
    target[at + 1] = LOW_DIGIT[byte] as number
    at += 2
  }
  return at
}

function digitsOf(offset: bigint): number {
  const number = Number(offset)
  if (number >= SMALL) return String(offset).length
  let digits = 1
  for (let power = 10; power <= number; power *= 10) digits += 1
  return digits
}

/** Gives where it ends. */
function writeOffset(target: Buffer, at: number, offset: bigint, digits: number): number {
  let rest = Number(offset)
  if (rest >= SMALL) return at + target.write(String(offset), at, 'latin1')
  for (let i = at + digits - 1; i >= at; i -= 1) {
    const tenth = Math.floor(rest / 10)
    target[i] = ZERO + (rest - 10 * tenth)
    rest = tenth
  }
  return at + digits
}

/** More than an event's line takes. */
export const lineBytesMax = ({ bytes, propertiesAt }: FramedEvent): number =>
  HEAD_BYTES_MAX + bytes.length - propertiesAt + LINE_END_BYTES

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

/** The event in a line, given without its line break; undefined for a line that `writeLine` did not write. What is asked for is read. */
export function parseLine(line: Buffer): ArchivedEvent | undefined {
  const propertiesAt = findProperties(line, 0, line.length)
  return propertiesAt === -1 ? undefined : new ArchivedLine(line, propertiesAt)
}

/** Where the properties begin in the line that stands in `lines` between `from` and `to`; -1 for one that `writeLine` did not write. */
export function findProperties(lines: Buffer, from: number, to: number): number {
  if (!hasTemplate(lines, from) || lines[to - 1] !== CLOSE) return -1
  let at = from + OFFSET_AT
  while ((lines[at] ?? 0) >= ZERO && (lines[at] ?? 0) <= NINE) at += 1
  if (at === from + OFFSET_AT || at > from + OFFSET_AT + OFFSET_DIGITS_MAX) return -1
  if (isAt(lines, at, PROPERTIES)) at += PROPERTIES.length
  else if (isAt(lines, at, REPEAT_KEY)) {
    at += REPEAT_KEY.length + 2 * KEY_BYTES
    if (!isAt(lines, at, AFTER_REPEAT_KEY)) return -1
    at += AFTER_REPEAT_KEY.length
  } else return -1
  return at < to ? at : -1
}

/** Where, counted from a line's start, the texts of its event's id and times stand. */
export const FIELDS = {
  id: { at: ID_AT, bytes: ID_BYTES },
  timestamp: { at: TIMESTAMP_AT, bytes: TIME_BYTES },
  createdAt: { at: CREATED_AT_AT, bytes: TIME_BYTES },
} as const

const OFFSET_DIGITS_MAX = 20

/** Whether what is the same in all heads is there. */
const hasTemplate = (lines: Buffer, from: number): boolean =>
  isAt(lines, from + OFFSET_AT - BEFORE_OFFSET.length, template, OFFSET_AT - BEFORE_OFFSET.length, OFFSET_AT) &&
  isAt(
    lines,
    from + CREATED_AT_AT - BEFORE_CREATED_AT.length,
    template,
    CREATED_AT_AT - BEFORE_CREATED_AT.length,
    CREATED_AT_AT,
  ) &&
  isAt(
    lines,
    from + TIMESTAMP_AT - BEFORE_TIMESTAMP.length,
    template,
    TIMESTAMP_AT - BEFORE_TIMESTAMP.length,
    TIMESTAMP_AT,
  ) &&
  isAt(lines, from, template, 0, ID_AT)

function isAt(line: Buffer, at: number, bytes: Buffer, from = 0, to = bytes.length): boolean {
  for (let i = from; i < to; i += 1) if (line[at + i - from] !== bytes[i]) return false
  return true
}

const readTimestamps = new TimeText()
const readReceipts = new TimeText()

class ArchivedLine implements ArchivedEvent {
  readonly line: Buffer
  readonly #propertiesAt: number

  constructor(line: Buffer, propertiesAt: number) {
    this.line = line
    this.#propertiesAt = propertiesAt
  }

  get id(): string {
    return this.line.toString('latin1', ID_AT, ID_AT + ID_BYTES)
  }

  get timestampMs(): number {
    return readTimestamps.read(this.line, TIMESTAMP_AT)
  }

  get createdAtMs(): number {
    return readReceipts.read(this.line, CREATED_AT_AT)
  }

  get offset(): bigint {
    return BigInt(this.line.toString('latin1', OFFSET_AT, this.#offsetEnd))
  }

  get repeatKey(): string | null {
    const at = this.#offsetEnd
    if (this.#propertiesAt === at + PROPERTIES.length) return null
    const start = at + REPEAT_KEY.length
    return this.line.toString('latin1', start, start + 2 * KEY_BYTES)
  }

  get #offsetEnd(): number {
    return this.line.indexOf(AFTER_OFFSET, OFFSET_AT)
  }

  get properties(): Buffer {
    return this.line.subarray(this.#propertiesAt, -1)
  }
}
