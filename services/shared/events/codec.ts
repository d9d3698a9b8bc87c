import { AppError, hasCode } from '../errors.ts'
import type { FramedEvent, LoggedEvent } from './event.ts'
import { eventReaders, eventSchemas, type EventReaders } from './readers.ts'
import { DatumReader, longBytesMax, MalformedDatum, writeLong } from './wire.ts'

/** Why bytes are not an event: for the dead letter, and for the label of a counter. */
export type UnreadableReason = 'not_avro' | 'unknown_schema' | 'malformed'

const HEADER_BYTES = 10
const ID_BYTES = 16
/** Marker and fingerprint of `schemas/avro/event.v1.avsc`, which `writeEvent` and `readEvent` spell out; a test compares. */
const HEADER = Buffer.from('c3011729cb6a5444e097', 'hex')
/** Room for the header, three lengths, two longs, the branch of the union and the two fixed fields. */
const FRAME_BYTES_MAX = HEADER_BYTES + 5 * longBytesMax + 1 + 2 * ID_BYTES
const SCRATCH_BYTES = 64 << 10

let scratch = Buffer.allocUnsafe(SCRATCH_BYTES)

/** Short and ASCII is what ids and names are: faster here than through a native call. */
const ASCII_LENGTH_MAX = 63

const writeText = (target: Buffer, text: string, position: number): number => {
  if (text.length <= ASCII_LENGTH_MAX) {
    let ored = 0
    for (let i = 0; i < text.length; i += 1) {
      const code = text.charCodeAt(i)
      ored |= code
      target[position + 1 + i] = code
    }
    if (ored < 0x80) {
      target[position] = 2 * text.length
      return position + 1 + text.length
    }
  }
  const bytes = Buffer.byteLength(text)
  const start = writeLong(target, bytes, position)
  target.write(text, start, bytes, 'utf8')
  return start + bytes
}

const writeFixed = (target: Buffer, bytes: Buffer, position: number): number => {
  if (bytes.length !== ID_BYTES) throw new RangeError(`expected ${ID_BYTES} bytes`)
  target.set(bytes, position)
  return position + ID_BYTES
}

/** Text that stands in a buffer with something cut out of it: `from` to `cutFrom`, and `cutTo` to `to`. */
export interface TextParts {
  readonly bytes: Buffer
  readonly from: number
  readonly cutFrom: number
  readonly cutTo: number
  readonly to: number
}

/** The properties may still be somewhere else: they are written where they go, without a buffer of their own. */
export type EncodableEvent = Omit<LoggedEvent, 'properties'> & { readonly properties: Buffer | string | TextParts }

function lengthOf(text: Buffer | string | TextParts): number {
  if (typeof text === 'string') return Buffer.byteLength(text)
  return 'cutFrom' in text ? text.cutFrom - text.from + text.to - text.cutTo : text.length
}

/**
 * An event in Avro single-object encoding of the current schema. Written by hand, field by field: a generic encoder
 * takes several times as long, and this runs once for every event that comes in. Throws RangeError when an id is not
 * 16 bytes or a time is not a whole number.
 */
export function encodeEvent(event: EncodableEvent): Buffer {
  const { project, collection, properties, repeatKey } = event
  const propertiesBytes = lengthOf(properties)
  const bytesMax = FRAME_BYTES_MAX + 3 * (project.length + collection.length) + propertiesBytes
  if (scratch.length - used < bytesMax) renew(bytesMax)
  const start = used
  scratch.set(HEADER, start)
  let position = writeText(scratch, project, start + HEADER_BYTES)
  position = writeText(scratch, collection, position)
  position = writeFixed(scratch, event.id, position)
  position = writeLong(scratch, event.timestampMs, position)
  position = writeLong(scratch, event.createdAtMs, position)
  position = writeLong(scratch, repeatKey === null ? 0 : 1, position)
  if (repeatKey !== null) position = writeFixed(scratch, repeatKey, position)
  position = writeLong(scratch, propertiesBytes, position)
  if (typeof properties === 'string') scratch.write(properties, position, propertiesBytes, 'utf8')
  else if ('cutFrom' in properties) {
    const { bytes, from, cutFrom, cutTo, to } = properties
    bytes.copy(scratch, position, from, cutFrom)
    bytes.copy(scratch, position + cutFrom - from, cutTo, to)
  } else scratch.set(properties, position)
  used = position + propertiesBytes
  return scratch.subarray(start, used)
}

/** Bytes of `scratch` that were handed out; they are never written again. */
let used = 0
function renew(bytesMin: number): void {
  scratch = Buffer.allocUnsafeSlow(Math.max(SCRATCH_BYTES, bytesMin))
  used = 0
}

const frames = new DatumReader(Buffer.alloc(0), 0)

function readFrame(bytes: Buffer): FramedEvent {
  const datum = frames.turnTo(bytes, HEADER_BYTES)
  const project = datum.text()
  const collection = datum.text()
  const idAt = datum.skip(ID_BYTES)
  const timestampMs = datum.long()
  const createdAtMs = datum.long()
  const branch = datum.long()
  if (branch !== 0 && branch !== 1) throw new MalformedDatum('no such branch')
  const repeatKeyAt = branch === 0 ? -1 : datum.skip(ID_BYTES)
  const propertiesAt = datum.skip(datum.long())
  if (!datum.atEnd) throw new MalformedDatum('goes on after its end')
  return { bytes, project, collection, idAt, timestampMs, createdAtMs, repeatKeyAt, propertiesAt }
}

function readEvent(bytes: Buffer): LoggedEvent {
  const { project, collection, idAt, timestampMs, createdAtMs, repeatKeyAt, propertiesAt } = readFrame(bytes)
  const id = bytes.subarray(idAt, idAt + ID_BYTES)
  const repeatKey = repeatKeyAt === -1 ? null : bytes.subarray(repeatKeyAt, repeatKeyAt + ID_BYTES)
  return { project, collection, id, timestampMs, createdAtMs, repeatKey, properties: bytes.subarray(propertiesAt) }
}

const HEADER_HEAD = HEADER.readUInt32LE(0)
const HEADER_BODY = HEADER.readUInt32LE(4)
const HEADER_TAIL = HEADER.readUInt16LE(8)

const hasCurrentHeader = (bytes: Buffer): boolean =>
  bytes.length >= HEADER_BYTES &&
  bytes.readUInt32LE(0) === HEADER_HEAD &&
  bytes.readUInt32LE(4) === HEADER_BODY &&
  bytes.readUInt16LE(8) === HEADER_TAIL

/** Decodes events of the current schema by hand, and of those in `readers` by Avro's rules of resolution. */
export function createEventDecoder(readers: () => EventReaders): (bytes: Buffer) => LoggedEvent {
  return (bytes) => {
    const isCurrent = hasCurrentHeader(bytes)
    if (!isCurrent && (bytes.length < HEADER_BYTES || bytes[0] !== HEADER[0] || bytes[1] !== HEADER[1])) {
      throw unreadable('not_avro')
    }
    const header = isCurrent ? '' : bytes.toString('hex', 0, HEADER_BYTES)
    const read = isCurrent ? readEvent : readers().get(header)
    if (read === undefined) throw unreadable('unknown_schema', { fingerprint: header.slice(4) })
    try {
      return read(isCurrent ? bytes : bytes.subarray(HEADER_BYTES))
    } catch (error) {
      throw unreadable('malformed', {}, error)
    }
  }
}

const unreadable = (reason: UnreadableReason, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) =>
  new AppError('LOG_REJECTED', 'bytes are not an event', { cause, details: { ...details, reason } })

let olderReaders: EventReaders | undefined

/**
 * The event in a message of the events topic; the buffers are views into `bytes`. Throws LOG_REJECTED when there is
 * none: see `unreadableReason`.
 */
export const decodeEvent: (bytes: Buffer) => LoggedEvent = createEventDecoder(
  // The schemas are read when a message asks for another than the current one, once.
  () => (olderReaders ??= eventReaders(eventSchemas())),
)

/** The same event in place; one of an older schema is encoded anew first. Throws as `decodeEvent` does. */
export function frameEvent(bytes: Buffer): FramedEvent {
  if (!hasCurrentHeader(bytes)) return readFrame(encodeEvent(decodeEvent(bytes)))
  try {
    return readFrame(bytes)
  } catch (error) {
    throw unreadable('malformed', {}, error)
  }
}

/**
 * Whose event it is, read from the front of a message of the current schema and no further; undefined for any other
 * bytes, about which `decodeEvent` knows more.
 */
export function eventAddress(bytes: Buffer): Pick<LoggedEvent, 'project' | 'collection'> | undefined {
  if (!hasCurrentHeader(bytes)) return undefined
  const datum = new DatumReader(bytes, HEADER_BYTES)
  try {
    return { project: datum.text(), collection: datum.text() }
  } catch {
    return undefined
  }
}

const REASONS: readonly unknown[] = ['not_avro', 'unknown_schema', 'malformed'] satisfies UnreadableReason[]
const isReason = (value: unknown): value is UnreadableReason => REASONS.includes(value)

/** What was wrong with the bytes, of an error that `decodeEvent` threw; undefined for any other error. */
export function unreadableReason(error: unknown): UnreadableReason | undefined {
  if (!hasCode(error, 'LOG_REJECTED')) return undefined
  const reason = error.details['reason']
  return isReason(reason) ? reason : undefined
}
