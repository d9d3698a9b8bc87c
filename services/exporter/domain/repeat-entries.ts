/** A kept event that later ones may repeat. */
export interface RepeatEntry {
  /** Names the event among those of its partition; `REPEAT_NAME_BYTES` long. */
  readonly name: Buffer
  readonly createdAtMs: number
  readonly offset: bigint
}

export const REPEAT_NAME_BYTES = 16
const ENTRY_BYTES = REPEAT_NAME_BYTES + 16

/** Entries one after the other, 32 bytes each: name, time of receipt (double), offset (unsigned), big-endian. */
export function encodeEntries(entries: readonly RepeatEntry[]): Buffer {
  const bytes = Buffer.alloc(entries.length * ENTRY_BYTES)
  for (const [index, { name, createdAtMs, offset }] of entries.entries()) {
    const start = index * ENTRY_BYTES
    name.copy(bytes, start)
    bytes.writeDoubleBE(createdAtMs, start + REPEAT_NAME_BYTES)
    bytes.writeBigUInt64BE(offset, start + REPEAT_NAME_BYTES + 8)
  }
  return bytes
}

/** Undefined for bytes that are no entries. */
export function decodeEntries(bytes: Buffer): readonly RepeatEntry[] | undefined {
  if (bytes.length % ENTRY_BYTES !== 0) return undefined
  return Array.from({ length: bytes.length / ENTRY_BYTES }, (_, index) => {
    const start = index * ENTRY_BYTES
    return {
      name: bytes.subarray(start, start + REPEAT_NAME_BYTES),
      createdAtMs: bytes.readDoubleBE(start + REPEAT_NAME_BYTES),
      offset: bytes.readBigUInt64BE(start + REPEAT_NAME_BYTES + 8),
    }
  })
}
