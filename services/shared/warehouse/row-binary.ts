/** Builds rows in ClickHouse's RowBinary format in one growing buffer. One writer per insert; no copies but the last. */
export class RowBinaryWriter {
  #buffer: Buffer
  #length = 0

  /** With the bytes to expect, or with a buffer to write into, which the writer then owns. */
  constructor(room: number | Buffer) {
    this.#buffer = typeof room === 'number' ? Buffer.allocUnsafe(Math.max(1024, room)) : room
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** UTF-8, 1 to 3 bytes a UTF-16 unit. */
  string(value: string): void {
    this.#reserve(5 + value.length * 3)
    if (value.length < 43) {
      // At most 126 bytes, so the length is one byte whatever the characters are.
      const written = this.#buffer.write(value, this.#length + 1)
      this.#buffer[this.#length] = written
      this.#length += 1 + written
      return
    }
    this.#length = this.#varint(Buffer.byteLength(value))
    this.#length += this.#buffer.write(value, this.#length)
  }

  /** A String column's value as bytes. */
  bytes(value: Uint8Array): void {
    this.#reserve(5 + value.length)
    this.#length = this.#varint(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
  }

  /** A FixedString column's value; the caller keeps its length. */
  fixed(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
  }

  uint32(value: number): void {
    this.#reserve(4)
    this.#length = this.#buffer.writeUInt32LE(value, this.#length)
  }

  uint64(value: bigint): void {
    this.#reserve(8)
    this.#length = this.#buffer.writeBigUInt64LE(value, this.#length)
  }

  /** DateTime64(3): milliseconds since 1970, a safe integer. */
  millis(value: number): void {
    this.#reserve(8)
    const high = Math.floor(value / 0x1_0000_0000)
    this.#buffer.writeUInt32LE(value - high * 0x1_0000_0000, this.#length)
    this.#length = this.#buffer.writeInt32LE(high, this.#length + 4)
  }

  /** UUID of 16 bytes in the usual order; ClickHouse keeps it as two little-endian halves. */
  uuid(value: Uint8Array): void {
    this.#reserve(16)
    for (let index = 0; index < 8; index += 1) {
      this.#buffer[this.#length + index] = value[7 - index] ?? 0
      this.#buffer[this.#length + 8 + index] = value[15 - index] ?? 0
    }
    this.#length += 16
  }

  /** What was written. The writer must not be used afterwards: it is a view, not a copy. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #varint(value: number): number {
    let rest = value
    let at = this.#length
    while (rest > 0x7f) {
      this.#buffer[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
      at += 1
    }
    this.#buffer[at] = rest
    return at + 1
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, Math.ceil(this.#buffer.length * 1.5)))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
