import type { Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { compressed } from './blocks.ts'
import { eventLines } from './event-line.ts'
import type { FileEvents, FileFormat, Kept } from './format.ts'

/** Higher levels take several times as long for a tenth less of bytes. */
export const GZIP_LEVEL = 1
export const ZSTD_LEVEL = 3
/** Of what comes out at once: small pieces each take their time. */
export const CHUNK_BYTES = 64 * 1024

/** One event a line (see `eventLines`), gzipped. The header has no time in it. */
export const jsonLinesGzip: FileFormat = {
  name: 'jsonl.gz',
  extension: 'jsonl.gz',
  contentType: 'application/gzip',
  hasColumns: false,
  encode: (events, keep) => encodeLines(events, () => createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK_BYTES }), keep),
}

/** One event a line (see `eventLines`), compressed with Zstandard. */
export const jsonLinesZstd: FileFormat = {
  name: 'jsonl.zst',
  extension: 'jsonl.zst',
  contentType: 'application/zstd',
  hasColumns: false,
  encode: (events, keep) =>
    encodeLines(
      events,
      () => createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } }),
      keep,
    ),
}

/** A compressor has memory of its own, and nothing frees it when nobody reads the iterable: it is made on the first read. */
async function* encodeLines(
  events: FileEvents,
  compressor: () => Transform,
  keep?: (kept: Kept) => void,
): AsyncGenerator<Buffer> {
  yield* compressed(lines(events), compressor())
  keep?.({})
}

async function* lines(events: FileEvents): AsyncGenerator<readonly Buffer[]> {
  for await (const batch of events()) yield eventLines(batch)
}
