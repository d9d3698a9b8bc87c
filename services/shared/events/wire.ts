import { ShortTexts } from './short-texts.ts'

/** Avro's binary forms, as far as an event needs them. Numbers are whole and at most 2^52 in size; bigints have 64 bits. */

const LONG_MAX = 2 ** 52
/** Bytes of a long whose bits a number holds exactly. */
const EXACT_BYTES = 7
const EXACT_BITS = 7n * BigInt(EXACT_BYTES)

/** Of four bytes of a long. */
const LOW_BITS = 28
/** Of a long's tenth byte. */
const SCALE_MAX = 2 ** 63

/** Thrown by readers that meet something else than the schema promises. */
export class MalformedDatum extends Error {
  override readonly name = 'MalformedDatum'
}

/** Zigzag, then seven bits a byte, lowest first. Returns the position after it. */
export function writeLong(target: Buffer, value: number, position: number): number {
  if (!(Number.isInteger(value) && Math.abs(value) <= LONG_MAX)) throw new RangeError('not a long that is exact')
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  while (rest >= 0x80) {
    target[position] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
    position += 1
  }
  target[position] = rest
  return position + 1
}

/** As `writeLong`, for every long. Throws RangeError for what is none. */
export function writeBigLong(target: Buffer, value: bigint, position: number): number {
  if (value >= -LONG_MAX && value <= LONG_MAX) return writeLong(target, Number(value), position)
  if (BigInt.asIntN(64, value) !== value) throw new RangeError('not a long')
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  while (rest >= 0x80n) {
    target[position] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
    position += 1
  }
  target[position] = Number(rest)
  return position + 1
}

/** A length is a long, and mostly one or two bytes. */
export const longBytesMax = 10

const texts = new ShortTexts()

/** Reads a datum front to back. Throws MalformedDatum instead of reading past its end. */
export class DatumReader {
  #bytes: Buffer
  #position: number

  constructor(bytes: Buffer, position: number) {
    this.#bytes = bytes
    this.#position = position
  }

  /** Goes on with another datum: for who reads so many that a reader for each would be worth sparing. */
  turnTo(bytes: Buffer, position: number): this {
    this.#bytes = bytes
    this.#position = position
    return this
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  long(): number {
    const bytes = this.#bytes
    let at = this.#position
    // Small numbers, and the low bits of others, as the integers that processors are fast with.
    let low = 0
    for (let shift = 0; shift < LOW_BITS; shift += 7) {
      const byte = bytes[at]
      if (byte === undefined) throw new MalformedDatum('ends inside a number')
      at += 1
      low |= (byte & 0x7f) << shift
      if (byte >= 0x80) continue
      this.#position = at
      return (low >>> 1) ^ -(low & 1)
    }
    let value = low
    for (let scale = 2 ** LOW_BITS; scale <= SCALE_MAX; scale *= 0x80) {
      const byte = bytes[at]
      if (byte === undefined) throw new MalformedDatum('ends inside a number')
      at += 1
      value += (byte & 0x7f) * scale
      if (byte >= 0x80) continue
      if (value > 2 * LONG_MAX) throw new MalformedDatum('a number is too large')
      this.#position = at
      return (low & 1) === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new MalformedDatum('a number does not end')
  }

  /** As `long`, for every long. */
  bigLong(): bigint {
    let low = 0
    let high = 0n
    for (let i = 0; i < longBytesMax; i += 1) {
      const byte = this.#bytes[this.#position]
      if (byte === undefined) throw new MalformedDatum('ends inside a number')
      this.#position += 1
      if (i < EXACT_BYTES) low += (byte & 0x7f) * 2 ** (7 * i)
      else high |= BigInt(byte & 0x7f) << BigInt(7 * (i - EXACT_BYTES))
      if (byte >= 0x80) continue
      const zigzag = BigInt(low) + (high << EXACT_BITS)
      if (BigInt.asUintN(64, zigzag) !== zigzag) throw new MalformedDatum('a number is too large')
      return (zigzag >> 1n) ^ -(zigzag & 1n)
    }
    throw new MalformedDatum('a number does not end')
  }

  /** Passes over a field; gives where it begins. */
  skip(length: number): number {
    const start = this.#position
    const end = start + length
    if (length < 0 || end > this.#bytes.length) throw new MalformedDatum('ends inside a field')
    this.#position = end
    return start
  }

  /** A view, not a copy. */
  fixed(length: number): Buffer {
    const start = this.skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  bytes(): Buffer {
    return this.fixed(this.long())
  }

  text(): string {
    const length = this.long()
    const start = this.skip(length)
    return texts.decode(this.#bytes, start, start + length)
  }
}
