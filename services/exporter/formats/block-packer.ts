import { createHash } from 'node:crypto'

/**
 * Lines are compressed in blocks of about this many bytes, each when it is full, so that what waits in memory is mostly
 * compressed; and on the spot, since a trip to another thread and back takes as long as a block of this size.
 */
export const BLOCK_BYTES = 256 * 1024

/** What comes out of one step of a compressor of this much: room that is thrown away after each block. */
export const chunkBytes = (lines: Buffer): number => Math.max(1024, Math.min(64 * 1024, lines.length >> 2))

/** What a format makes of blocks of lines; the head is asked for when the first block is made. */
export interface Compressor {
  head(): Buffer
  block(lines: Buffer): Buffer
  tail(): Buffer
}

/** What a file is, when all of it is packed. */
export interface PackedStamp {
  /** Of the bytes as they are stored. */
  readonly bytes: number
  readonly sha256: string
  /** Of the lines. */
  readonly contentBytes: number
  readonly contentSha256: string
}

/** Makes one file out of blocks of lines. The same blocks always make the same bytes. */
export class BlockPacker {
  readonly #compressor: Compressor
  readonly #hash = createHash('sha256')
  readonly #contentHash = createHash('sha256')
  #bytes = 0
  #contentBytes = 0

  constructor(compressor: Compressor) {
    this.#compressor = compressor
  }

  /** The file's next bytes. */
  pack(lines: Buffer): Buffer {
    this.#contentHash.update(lines)
    const isFirst = this.#contentBytes === 0
    this.#contentBytes += lines.length
    const block = this.#compressor.block(lines)
    return this.#stored(isFirst ? Buffer.concat([this.#compressor.head(), block]) : exactly(block))
  }

  /** Its last bytes, and what it is. */
  finish(): PackedStamp & { readonly tail: Buffer } {
    const end = this.#compressor.tail()
    const tail = this.#stored(this.#contentBytes === 0 ? Buffer.concat([this.#compressor.head(), end]) : end)
    return {
      tail,
      bytes: this.#bytes,
      sha256: this.#hash.digest('hex'),
      contentBytes: this.#contentBytes,
      contentSha256: this.#contentHash.digest('hex'),
    }
  }

  #stored(bytes: Buffer): Buffer {
    this.#hash.update(bytes)
    this.#bytes += bytes.length
    return bytes
  }
}

/** What a compressor gives is often a view into something larger, which would be held for it. */
function exactly(bytes: Buffer): Buffer {
  if (bytes.length === bytes.buffer.byteLength) return bytes
  const exact = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(exact)
  return exact
}
