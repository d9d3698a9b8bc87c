import { type DatumReader, longBytesMax, MalformedDatum, writeBigLong, writeLong } from '../../shared/events/wire.ts'
import { type ArchivedEvent, lineBytesMax, writeLine } from '../domain/line.ts'
import type { AvroRecord } from '../formats/avro-container.ts'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const REPEAT_KEY = /^[0-9a-f]{32}$/
const [UUID_BYTES, REPEAT_KEY_BYTES] = [36, 32]
const RECORD_HEAD_BYTES_MAX = UUID_BYTES + REPEAT_KEY_BYTES + 7 * longBytesMax

/** Of the union of `repeat_key`. */
const [NONE, TEXT] = [0, 1]

/** An event as a record of `schemas/avro/archived-event.v1.avsc`; its properties stay a view. */
export function avroRecord(event: ArchivedEvent): AvroRecord {
  const { id, timestampMs, createdAtMs, offset, repeatKey, properties } = event
  const head = Buffer.allocUnsafe(RECORD_HEAD_BYTES_MAX)
  let to = writeText(head, id, 0)
  to = writeLong(head, timestampMs, to)
  to = writeLong(head, createdAtMs, to)
  to = writeBigLong(head, offset, to)
  to = writeLong(head, repeatKey === null ? NONE : TEXT, to)
  if (repeatKey !== null) to = writeText(head, repeatKey, to)
  to = writeLong(head, properties.length, to)
  return [head.subarray(0, to), properties]
}

/** The line, with its break, that `avroRecord` had the event from. Throws MalformedDatum for what is no such record. */
export function lineOfRecord(from: DatumReader): Buffer {
  const id = hex(from, UUID)
  const [timestampMs, createdAtMs] = [time(from), time(from)]
  const offset = from.bigLong()
  const branch = from.long()
  if (offset < 0n || (branch !== NONE && branch !== TEXT)) throw new MalformedDatum('a field is none of ours')
  const repeatKey = branch === NONE ? null : hex(from, REPEAT_KEY)
  const bytes = Buffer.concat([id, repeatKey ?? NOTHING, from.bytes()])
  const repeatKeyAt = repeatKey === null ? -1 : id.length
  const propertiesAt = id.length + (repeatKey?.length ?? 0)
  const event = { project: '', collection: '', timestampMs, createdAtMs, bytes, idAt: 0, repeatKeyAt, propertiesAt }
  const line = Buffer.allocUnsafe(lineBytesMax(event))
  return line.subarray(0, writeLine(line, 0, event, offset))
}

const NOTHING = Buffer.alloc(0)

/** ASCII. */
function writeText(target: Buffer, text: string, at: number): number {
  const to = writeLong(target, text.length, at)
  return to + target.write(text, to, 'latin1')
}

function hex(from: DatumReader, shape: RegExp): Buffer {
  const text = from.bytes().toString('latin1')
  if (!shape.test(text)) throw new MalformedDatum('a field is none of ours')
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/** Years of four digits: the text of others is longer than a line has room for. */
const [TIME_MIN_MS, TIME_MAX_MS] = [Date.parse('0000-01-01T00:00:00.000Z'), Date.parse('9999-12-31T23:59:59.999Z')]

function time(from: DatumReader): number {
  const ms = from.long()
  if (ms < TIME_MIN_MS || ms > TIME_MAX_MS) throw new MalformedDatum('a time is none of ours')
  return ms
}
