/**
 * The partition of a key: FNV-1a over its bytes, a finishing mix, and the remainder by the number of
 * partitions. This must never change: repeats of an event are found because they share a partition.
 *
 *   h = 2166136261; for each byte b: h = ((h xor b) * 16777619) mod 2^32
 *   h = h xor (h >> 16); h = h * 0x85ebca6b mod 2^32; h = h xor (h >> 13); h = h * 0xc2b2ae35 mod 2^32; h = h xor (h >> 16)
 *   partition = h mod partitions
 *
 * Messages without a key may go anywhere; spreading them is the caller's business.
 */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  if (!Number.isInteger(partitions) || partitions < 1) throw new RangeError('a topic has at least one partition')
  let hash = 2_166_136_261
  for (const byte of key) hash = Math.imul(hash ^ byte, 16_777_619)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  hash ^= hash >>> 16
  return (hash >>> 0) % partitions
}
