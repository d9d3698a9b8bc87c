import { constants, zstdCompressSync } from 'node:zlib'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { BlockPacker, chunkBytes, type Compressor } from '../formats/block-packer.ts'
import { GzipMember } from '../formats/gzip-member.ts'
import { AvroBlocks } from './avro-lines.ts'

const ZSTD_LEVEL = 1
const NOTHING = Buffer.alloc(0)

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

/** Makes an object of the archive out of blocks of lines. */
export const objectPacker = (format: ArchiveFormat): BlockPacker => new BlockPacker(compressorOf(format))
