import { createHash } from 'node:crypto'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { compressed } from '../formats/blocks.ts'
import { type Draft, draftOf } from '../spool/draft.ts'
import { avroOfLines } from './avro-lines.ts'

/** What comes out comes in pieces of this size at most: each is a trip to another thread and back. */
const CHUNK_BYTES = 64 * 1024
const GZIP_LEVEL = 1
const ZSTD_LEVEL = 1

/** An object's bytes before they are sent, and what names them. */
export interface ObjectDraft extends Draft {
  /** Of the lines that were put in: the same in every format. */
  readonly contentSha256: string
  readonly contentBytes: number
}

/** Brings lines into their format; a large draft waits in a file in `folder`. Rejects as `lines` does. */
export async function draftObject(
  lines: AsyncIterable<Buffer>,
  format: ArchiveFormat,
  folder: string,
): Promise<ObjectDraft> {
  const contentHash = createHash('sha256')
  let contentBytes = 0
  async function* content(): AsyncGenerator<Buffer> {
    for await (const piece of lines) {
      contentHash.update(piece)
      contentBytes += piece.length
      yield piece
    }
  }
  const draft = await draftOf(encoded(content(), format), folder)
  return { ...draft, contentSha256: contentHash.digest('hex'), contentBytes }
}

function encoded(lines: AsyncIterable<Buffer>, format: ArchiveFormat): AsyncIterable<Buffer> {
  switch (format) {
    case 'jsonl.gz':
      return compressed(inBatches(lines), createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK_BYTES }))
    case 'jsonl.zst': {
      const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
      return compressed(inBatches(lines), createZstdCompress({ chunkSize: CHUNK_BYTES, params }))
    }
    case 'avro':
      return avroOfLines(lines)
    default:
      return format satisfies never
  }
}

async function* inBatches(pieces: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  for await (const piece of pieces) yield [piece]
}
