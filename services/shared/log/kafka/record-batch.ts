import { gunzipSync, gzip, zstdCompress, zstdDecompressSync, constants } from 'node:zlib'
import { promisify } from 'node:util'
import { AppError } from '../../errors.ts'
import type { LogMessage, LogRecord } from '../port.ts'
import { crc32c } from './crc32c.ts'

/**
 * Kafka's record batches (magic 2), written and read here rather than by the client: its writer copies quadratically and
 * its reader hides the last offset of a batch, without which a reader stands still before what compaction emptied.
 */

export type Compression = 'none' | 'gzip' | 'zstd'

const HEADER_BYTES = 61
const CRC_FROM = 21
const CRC_AT = 17
const MAGIC = 2
const CODECS = { none: 0, gzip: 1, zstd: 4 } as const satisfies Record<Compression, number>
const CODEC_MASK = 7
const LOG_APPEND_TIME = 8
const CONTROL = 32
/** Guards a reader's memory; far above what a broker takes as one batch. */
const INFLATED_BYTES_MAX = 256 << 20

const gzipAsync = promisify(gzip)
const zstdAsync = promisify(zstdCompress)

const varintBytes = (value: number): number => {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  let bytes = 1
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1
  return bytes
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    target[at] = (rest % 128) | 128
    at += 1
  }
  target[at] = rest
  return at + 1
}

/** Bytes of one message in a batch, at most. */
export const recordBytesMax = ({ key, value }: LogMessage): number => (key?.length ?? 0) + (value?.length ?? 0) + 24
export const BATCH_OVERHEAD_BYTES = HEADER_BYTES

const bodyBytes = ({ key, value }: LogMessage, index: number): number =>
  2 + // attributes, time difference
  varintBytes(index) +
  varintBytes(key?.length ?? -1) +
  (key?.length ?? 0) +
  varintBytes(value?.length ?? -1) +
  (value?.length ?? 0) +
  1 // no headers

function writeBytes(target: Buffer, at: number, bytes: Buffer | null): number {
  if (bytes === null) return writeVarint(target, at, -1)
  const next = writeVarint(target, at, bytes.length)
  target.set(bytes, next)
  return next + bytes.length
}

function encodeRecords(messages: readonly LogMessage[], headroom: number): Buffer {
  let size = headroom
  const bodies = messages.map((message, i) => {
    const body = bodyBytes(message, i)
    size += varintBytes(body) + body
    return body
  })
  const target = Buffer.allocUnsafe(size)
  let at = headroom
  for (const [i, message] of messages.entries()) {
    at = writeVarint(target, at, bodies[i] ?? 0)
    target[at] = 0
    target[at + 1] = 0
    at = writeVarint(target, at + 2, i)
    at = writeBytes(target, at, message.key)
    at = writeBytes(target, at, message.value)
    target[at] = 0
    at += 1
  }
  return target
}

/** Who writes to one partition, as the brokers know it; given by one of them. */
export interface Producer {
  readonly id: bigint
  readonly epoch: number
}

/** Lets a broker know a batch that it has already: the first message's number among all that the producer wrote there. */
export interface Numbering {
  readonly producer: Producer
  readonly sequence: number
}

/** One batch of these messages, in order. Compression runs outside this thread. */
export async function encodeBatch(
  messages: readonly LogMessage[],
  options: { readonly compression: Compression; readonly nowMs: number; readonly numbering?: Numbering },
): Promise<Buffer> {
  let batch = encodeRecords(messages, HEADER_BYTES)
  if (options.compression !== 'none') {
    const packed = await compress(batch.subarray(HEADER_BYTES), options.compression)
    batch = Buffer.concat([batch.subarray(0, HEADER_BYTES), packed])
  }
  const timestamp = BigInt(options.nowMs)
  batch.writeBigInt64BE(0n, 0) // the broker gives the offsets
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12) // leader epoch
  batch.writeInt8(MAGIC, 16)
  batch.writeInt16BE(CODECS[options.compression], 21)
  batch.writeInt32BE(messages.length - 1, 23)
  batch.writeBigInt64BE(timestamp, 27)
  batch.writeBigInt64BE(timestamp, 35)
  const { numbering } = options
  batch.writeBigInt64BE(numbering?.producer.id ?? -1n, 43)
  batch.writeInt16BE(numbering?.producer.epoch ?? -1, 51)
  batch.writeInt32BE(numbering?.sequence ?? -1, 53)
  batch.writeInt32BE(messages.length, 57)
  batch.writeUInt32BE(crc32c(batch, CRC_FROM), CRC_AT)
  return batch
}

const compress = (bytes: Buffer, compression: 'gzip' | 'zstd'): Promise<Buffer> =>
  compression === 'gzip'
    ? gzipAsync(bytes, { level: 1 })
    : zstdAsync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })

function inflate(bytes: Buffer, codec: number): Buffer {
  switch (codec) {
    case CODECS.none:
      return bytes
    case CODECS.gzip:
      return gunzipSync(bytes, { maxOutputLength: INFLATED_BYTES_MAX })
    case CODECS.zstd:
      return zstdDecompressSync(bytes, { maxOutputLength: INFLATED_BYTES_MAX })
    default:
      throw new AppError('LOG_REJECTED', 'a batch is compressed in a way this client cannot read', {
        details: { codec },
      })
  }
}

/** Reads variable-length integers and the bytes they announce. */
class Cursor {
  at = 0
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes[this.at]
      if (byte === undefined) throw new AppError('LOG_UNAVAILABLE', 'a record ends too early')
      this.at += 1
      value += (byte & 127) * factor
      if (byte < 128) break
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  take(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const from = this.at
    this.at += length
    return this.bytes.subarray(from, this.at)
  }
}

const damaged = (partition: number): AppError =>
  new AppError('LOG_UNAVAILABLE', 'a record batch arrived damaged', { details: { partition } })

export interface DecodedRecords {
  readonly records: LogRecord[]
  /** Where to read next; `position` when the bytes held no whole batch. */
  readonly next: bigint
}

/** The records at and after `position` in what a fetch answered: whole batches, the last one often cut off. */
export function decodeBatches(bytes: Buffer, partition: number, position: bigint): DecodedRecords {
  const records: LogRecord[] = []
  let next = position
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const size = 12 + bytes.readInt32BE(at + 8)
    if (size < HEADER_BYTES) throw damaged(partition)
    if (at + size > bytes.length) break
    const batch = bytes.subarray(at, at + size)
    at += size
    const last = batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23))
    if (last < position) continue
    decodeBatch(batch, partition, position, records)
    next = last + 1n
  }
  return { records, next }
}

function decodeBatch(batch: Buffer, partition: number, position: bigint, into: LogRecord[]): void {
  if (batch.readInt8(16) !== MAGIC) {
    throw new AppError('LOG_REJECTED', 'the topic holds records of a format older than Kafka 0.11')
  }
  if (crc32c(batch, CRC_FROM) !== batch.readUInt32BE(CRC_AT)) {
    throw damaged(partition)
  }
  const attributes = batch.readInt16BE(21)
  if ((attributes & CONTROL) !== 0) return
  const base = batch.readBigInt64BE(0)
  const baseTime = Number(batch.readBigInt64BE(27))
  const appendTime = (attributes & LOG_APPEND_TIME) === 0 ? undefined : Number(batch.readBigInt64BE(35))
  const count = batch.readInt32BE(57)
  const cursor = new Cursor(inflate(batch.subarray(HEADER_BYTES), attributes & CODEC_MASK))
  for (let i = 0; i < count; i += 1) {
    const length = cursor.varint()
    const end = cursor.at + length
    cursor.at += 1 // attributes
    const time = cursor.varint()
    const offset = base + BigInt(cursor.varint())
    const key = cursor.take()
    const value = cursor.take()
    cursor.at = end // headers are nobody's here
    if (offset < position) continue
    into.push({ partition, offset, key, value, appendedAtMs: appendTime ?? baseTime + time })
  }
}
