import { createHash } from 'node:crypto'
import { pipeline, Readable, type Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { type Draft, draftOf } from '../spool/draft.ts'

/** What compresses is fed pieces of this size, however they came, so that the same content makes the same bytes. */
const PIECE_BYTES = 64 * 1024
/** What comes out comes in pieces of this size at most: each is a trip to another thread and back. */
const CHUNK_BYTES = 64 * 1024
const GZIP_LEVEL = 1
const ZSTD_LEVEL = 1

/** An object's bytes before they are sent, and what names them. */
export interface ObjectDraft extends Draft {
  /** Of what was put in. */
  readonly contentSha256: string
  readonly contentBytes: number
}

const compressor = (format: ArchiveFormat): Transform => {
  switch (format) {
    case 'jsonl.gz':
      return createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK_BYTES })
    case 'jsonl.zst':
      return createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
    default:
      return format satisfies never
  }
}

/** Compresses `content`; a large draft waits in a file in `folder`. */
export async function draftObject(
  content: AsyncIterable<Buffer>,
  format: ArchiveFormat,
  folder: string,
): Promise<ObjectDraft> {
  const contentHash = createHash('sha256')
  let contentBytes = 0
  async function* pieces(): AsyncGenerator<Buffer> {
    for await (const piece of evenly(content)) {
      contentHash.update(piece)
      contentBytes += piece.length
      yield piece
    }
  }
  const compressed = compressor(format)
  // Whatever ends one ends the other; what went wrong is thrown where the chunks are read.
  pipeline(Readable.from(pieces(), { objectMode: false }), compressed, () => undefined)
  const draft = await draftOf(compressed as AsyncIterable<Buffer>, folder)
  return { ...draft, contentSha256: contentHash.digest('hex'), contentBytes }
}

/** The same bytes in pieces of one size. */
async function* evenly(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let piece = Buffer.allocUnsafe(PIECE_BYTES)
  let used = 0
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length; ) {
      const bytes = Math.min(PIECE_BYTES - used, chunk.length - at)
      chunk.copy(piece, used, at, at + bytes)
      used += bytes
      at += bytes
      if (used === PIECE_BYTES) {
        yield piece
        piece = Buffer.allocUnsafe(PIECE_BYTES)
        used = 0
      }
    }
  }
  if (used > 0) yield piece.subarray(0, used)
}
