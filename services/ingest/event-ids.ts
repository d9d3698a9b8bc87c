import { randomFillSync } from 'node:crypto'

const ID_BYTES = 16
const RANDOM_BYTES = 10
const POOL_BYTES = 8_190 // a multiple of what one id takes

/**
 * Makes UUIDv7s as bytes. Unlike a library's, they need no text form and share a pool of random bytes: this runs for
 * every event.
 */
export function createEventIds(): (nowMs: number) => Buffer {
  const pool = Buffer.allocUnsafeSlow(POOL_BYTES)
  let used = POOL_BYTES
  return (nowMs) => {
    if (used === POOL_BYTES) {
      randomFillSync(pool)
      used = 0
    }
    const id = Buffer.allocUnsafe(ID_BYTES)
    const high = Math.floor(nowMs / 0x1_0000)
    id.writeUInt32BE(high, 0)
    id.writeUInt16BE(nowMs - high * 0x1_0000, 4)
    pool.copy(id, 6, used, used + RANDOM_BYTES)
    used += RANDOM_BYTES
    id[6] = ((id[6] ?? 0) & 0x0f) | 0x70 // version 7
    id[8] = ((id[8] ?? 0) & 0x3f) | 0x80 // the variant of RFC 9562
    return id
  }
}
