import { constants, createZstdCompress } from 'node:zlib'
import { BlockPacker } from './block-packer.ts'
import { compressed } from './blocks.ts'
import { eventLine } from './event-line.ts'
import type { BlockFormat, StreamFormat } from './format.ts'
import { GzipMember } from './gzip-member.ts'

/** Higher levels take several times as long for a tenth less of bytes. */
export const ZSTD_LEVEL = 3
/** Of what comes out at once: small pieces each take their time. */
const CHUNK_BYTES = 64 * 1024

/** One event a line (see `eventLine`), gzipped. The header has no time in it. */
export const jsonLinesGzip: BlockFormat = {
  kind: 'blocks',
  name: 'jsonl.gz',
  extension: 'jsonl.gz',
  contentType: 'application/gzip',
  hasColumns: false,
  lines: eventLine,
  packer: () => new BlockPacker(new GzipMember()),
}

/**
 * One event a line (see `eventLine`), compressed with Zstandard: one frame, since some readers end after the first. A compressor
 * has memory of its own, and nothing frees it when nobody reads the iterable: it is made on the first read.
 */
export const jsonLinesZstd: StreamFormat = {
  kind: 'stream',
  name: 'jsonl.zst',
  extension: 'jsonl.zst',
  contentType: 'application/zstd',
  hasColumns: false,
  lines: eventLine,
  async *pack(lines) {
    const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
    yield* compressed(lines, createZstdCompress({ chunkSize: CHUNK_BYTES, params }))
  },
}
