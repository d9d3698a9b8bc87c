import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import type { BlockPacker } from '../formats/format.ts'
import { chunkBytes, GzipMember } from '../formats/gzip-member.ts'
import { AvroBlocks } from './avro-lines.ts'

/**
 * Lines are compressed in blocks of about this many bytes, each when it is full, so that what waits in memory is mostly
 * compressed; and on the spot, since a trip to another thread and back takes as long as a block of this size.
 */
export const BLOCK_BYTES = 256 * 1024

const ZSTD_LEVEL = 1
const NOTHING = Buffer.alloc(0)

/** What a format makes of blocks of lines; the head is asked for when the first block is made. */
interface Compressor {
  head(): Buffer
  block(lines: Buffer): Buffer
  tail(): Buffer
}

/** A frame for each block; frames that follow each other are one file. */
const ZSTD: Compressor = {
  head: () => NOTHING,
  block: (lines) =>
    zstdCompressSync(lines, {
      params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
      pledgedSrcSize: lines.length,
      chunkSize: chunkBytes(lines),
    }),
  tail: () => NOTHING,
}

/** A block of lines is a block of the file. */
class Avro extends AvroBlocks implements Compressor {
  tail(): Buffer {
    return NOTHING
  }
}

function compressorOf(format: ArchiveFormat): Compressor {
  switch (format) {
    case 'jsonl.gz':
      return new GzipMember()
    case 'jsonl.zst':
      return ZSTD
    case 'avro':
      return new Avro()
    default:
      return format satisfies never
  }
}

/** What an object is, when all of it is packed. */
export interface PackedStamp {
  /** Of the bytes as they are stored. */
  readonly bytes: number
  readonly sha256: string
  /** Of the lines. */
  readonly contentBytes: number
  readonly contentSha256: string
}

/** Makes one object out of blocks of lines. The same blocks always make the same bytes. */
export class ObjectPacker implements BlockPacker {
  readonly #compressor: Compressor
  readonly #hash = createHash('sha256')
  readonly #contentHash = createHash('sha256')
  #bytes = 0
  #contentBytes = 0

  constructor(format: ArchiveFormat) {
    this.#compressor = compressorOf(format)
  }

  /** The object's next bytes. */
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
