/** Longer texts are rare and pay for their decoding anyway. */
const BYTES_MAX = 48
/** A power of two. */
const SLOTS = 1024

interface Known {
  readonly bytes: Buffer
  readonly text: string
}

/**
 * Decodes UTF-8 texts of which few are different, such as names of projects and collections: one that came lately is found
 * by its bytes, in a fifth of the time that decoding takes. Bounded: a text takes the slot of the one before.
 */
export class ShortTexts {
  readonly #slots: (Known | undefined)[] = Array.from({ length: SLOTS })

  decode(bytes: Buffer, start: number, end: number): string {
    const length = end - start
    if (length > BYTES_MAX) return bytes.toString('utf8', start, end)
    let hash = length
    // Some of the bytes, the last one among them, tell most names apart; two that they do not take turns in one slot.
    const stride = 1 + (length >> 3)
    for (let i = end - 1; i >= start; i -= stride) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
    const known = this.#slots[slot]
    if (known !== undefined && isSame(known.bytes, bytes, start, length)) return known.text
    const text = bytes.toString('utf8', start, end)
    this.#slots[slot] = { bytes: Buffer.from(bytes.subarray(start, end)), text }
    return text
  }
}

function isSame(known: Buffer, bytes: Buffer, start: number, length: number): boolean {
  if (known.length !== length) return false
  for (let i = 0; i < length; i += 1) if (known[i] !== bytes[start + i]) return false
  return true
}
