import { constants, crc32, deflateRawSync } from 'node:zlib'
import { BLOCK_BYTES, chunkBytes, type Compressor } from './block-packer.ts'
import { inBlocks } from './blocks.ts'

/** Higher levels take several times as long for a tenth less of bytes. */
const LEVEL = 1

/** RFC 1952: deflate, no flags, no time, fastest, unknown system. */
const GZIP_HEAD = Buffer.from('1f8b08000000000004ff', 'hex')
/** A last block with nothing in it. */
const DEFLATE_END = Buffer.from('0300', 'hex')

/** One member: each block ends at a byte, and the next one begins as if nothing had been before it. */
export class GzipMember implements Compressor {
  #crc = 0
  #bytes = 0

  head(): Buffer {
    return GZIP_HEAD
  }

  block(lines: Buffer): Buffer {
    this.#crc = crc32(lines, this.#crc)
    this.#bytes += lines.length
    return deflateRawSync(lines, {
      level: LEVEL,
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: chunkBytes(lines),
    })
  }

  tail(): Buffer {
    const tail = Buffer.alloc(DEFLATE_END.length + 8)
    DEFLATE_END.copy(tail)
    tail.writeUInt32LE(this.#crc, DEFLATE_END.length)
    tail.writeUInt32LE(this.#bytes % 2 ** 32, DEFLATE_END.length + 4)
    return tail
  }
}

/** A gzip file of one member, however the pieces are cut. Nothing is read before the first chunk is asked for. */
export async function* gzipped(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const member = new GzipMember()
  yield member.head()
  for await (const block of inBlocks(pieces, BLOCK_BYTES)) yield member.block(block)
  yield member.tail()
}
