import type { LogMessage, LogRecord } from '../port.ts'

/**
 * Many records in one LMDB value: a row per record would cost a tree insertion each. A chunk is keyed by the offset of
 * its first record at the time it was appended; records carry their distance from it, since compaction leaves gaps.
 *
 *   u8 version, u8 x 3 unused, u32 count, f64 appendedAtMs, then per record
 *   u32 distance from base, i32 key length (-1: null), i32 value length (-1: null), key, value      (little-endian)
 */
const VERSION = 1
const HEADER_BYTES = 16
const RECORD_HEADER_BYTES = 12

/** A message with its distance from the chunk's base. */
export interface ChunkEntry {
  readonly distance: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** What a message takes in a chunk, in bytes. */
export const storedBytes = (message: Pick<LogMessage, 'key' | 'value'>): number =>
  RECORD_HEADER_BYTES + (message.key?.length ?? 0) + (message.value?.length ?? 0)

const writeField = (target: Buffer, field: Buffer | null, position: number): number => {
  if (field === null || field.length === 0) return position
  target.set(field, position)
  return position + field.length
}

/** `distanceOf` says how far a message is from the base; the distances grow. */
function encode<M extends Pick<LogMessage, 'key' | 'value'>>(
  messages: readonly M[],
  distanceOf: (message: M, index: number) => number,
  appendedAtMs: number,
): Buffer {
  let size = HEADER_BYTES
  for (const message of messages) size += storedBytes(message)
  const chunk = Buffer.allocUnsafe(size)
  chunk.writeUInt32LE(VERSION, 0)
  chunk.writeUInt32LE(messages.length, 4)
  chunk.writeDoubleLE(appendedAtMs, 8)
  let position = HEADER_BYTES
  for (const [index, message] of messages.entries()) {
    const { key, value } = message
    chunk.writeUInt32LE(distanceOf(message, index), position)
    chunk.writeInt32LE(key === null ? -1 : key.length, position + 4)
    chunk.writeInt32LE(value === null ? -1 : value.length, position + 8)
    position = writeField(chunk, key, position + RECORD_HEADER_BYTES)
    position = writeField(chunk, value, position)
  }
  return chunk
}

/** Messages that follow each other without a gap. */
export const encodeChunk = (messages: readonly LogMessage[], appendedAtMs: number): Buffer =>
  encode(messages, (_, index) => index, appendedAtMs)

/** What compaction left of a chunk. */
export const encodeSparseChunk = (entries: readonly ChunkEntry[], appendedAtMs: number): Buffer =>
  encode(entries, (entry) => entry.distance, appendedAtMs)

export const appendedAtMsOf = (chunk: Buffer): number => chunk.readDoubleLE(8)

/** Every entry of a chunk, in order. The buffers are views into `chunk`. */
export function* entriesOf(chunk: Buffer): Generator<ChunkEntry> {
  if (chunk[0] !== VERSION) throw new Error(`chunk version ${chunk[0]} is not known`)
  const count = chunk.readUInt32LE(4)
  let position = HEADER_BYTES
  for (let i = 0; i < count; i += 1) {
    const distance = chunk.readUInt32LE(position)
    const keyBytes = chunk.readInt32LE(position + 4)
    const valueBytes = chunk.readInt32LE(position + 8)
    position += RECORD_HEADER_BYTES
    const key = keyBytes < 0 ? null : chunk.subarray(position, position + keyBytes)
    position += Math.max(keyBytes, 0)
    const value = valueBytes < 0 ? null : chunk.subarray(position, position + valueBytes)
    position += Math.max(valueBytes, 0)
    yield { distance, key, value }
  }
}

/** The records of a chunk from offset `from` on. */
export function recordsOf(chunk: Buffer, partition: number, base: number, from: number): LogRecord[] {
  const appendedAtMs = appendedAtMsOf(chunk)
  const records: LogRecord[] = []
  for (const { distance, key, value } of entriesOf(chunk)) {
    const offset = base + distance
    if (offset >= from) records.push({ partition, offset: BigInt(offset), key, value, appendedAtMs })
  }
  return records
}
