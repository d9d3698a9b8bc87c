import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { once } from 'node:events'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { ObjectBody } from '../../shared/bucket/port.ts'
import type { ArchiveFormat } from '../domain/archive-format.ts'

/** What compresses is fed pieces of this size, however they came, so that the same content makes the same bytes. */
const PIECE_BYTES = 64 * 1024
/** What comes out comes in pieces of this size at most: each is a trip to another thread and back. */
const CHUNK_BYTES = 64 * 1024
/** A draft that is larger waits in a file. */
const MEMORY_BYTES_MAX = 4 * 1024 * 1024
const GZIP_LEVEL = 1
const ZSTD_LEVEL = 1

/** An object's bytes before they are sent, and what names them. */
export interface ObjectDraft {
  readonly body: ObjectBody
  /** Of the bytes as they are sent, hexadecimal. */
  readonly sha256: string
  /** Of what was put in. */
  readonly contentSha256: string
  readonly contentBytes: number
  dispose(): Promise<void>
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

/** Compresses `content` to memory, or past 4 MiB to a file in `folder`. */
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
  const hash = createHash('sha256')
  const sink = new DraftSink(folder)
  try {
    for await (const chunk of Readable.from(pieces(), { objectMode: false }).compose(compressor(format))) {
      hash.update(chunk as Buffer)
      await sink.write(chunk as Buffer)
    }
    const body = await sink.finish()
    const dispose = async (): Promise<void> => sink.remove()
    return { body, sha256: hash.digest('hex'), contentSha256: contentHash.digest('hex'), contentBytes, dispose }
  } catch (error) {
    await sink.remove()
    throw error
  }
}

class DraftSink {
  readonly #folder: string
  #chunks: Buffer[] = []
  #bytes = 0
  #file: { readonly path: string; readonly stream: ReturnType<typeof createWriteStream> } | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  async write(chunk: Buffer): Promise<void> {
    this.#bytes += chunk.length
    if (this.#file === undefined && this.#bytes <= MEMORY_BYTES_MAX) {
      this.#chunks.push(chunk)
      return
    }
    if (this.#file === undefined) {
      await mkdir(this.#folder, { recursive: true })
      const path = join(this.#folder, `${process.pid}-${randomUUID()}.draft`)
      const stream = createWriteStream(path, { flags: 'wx' })
      await once(stream, 'open')
      this.#file = { path, stream }
      await this.#append(Buffer.concat(this.#chunks))
      this.#chunks = []
    }
    await this.#append(chunk)
  }

  async finish(): Promise<ObjectBody> {
    const bytes = this.#bytes
    if (this.#file === undefined) {
      const whole = Buffer.concat(this.#chunks)
      this.#chunks = []
      return { bytes, open: () => Readable.from([whole], { objectMode: false }) }
    }
    const { path, stream } = this.#file
    stream.end()
    await once(stream, 'close')
    return { bytes, open: () => createReadStream(path) }
  }

  async remove(): Promise<void> {
    this.#chunks = []
    if (this.#file === undefined) return
    this.#file.stream.destroy()
    await rm(this.#file.path, { force: true })
  }

  async #append(chunk: Buffer): Promise<void> {
    if (this.#file !== undefined && !this.#file.stream.write(chunk)) await once(this.#file.stream, 'drain')
  }
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
