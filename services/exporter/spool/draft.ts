import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { ObjectBody } from '../../shared/bucket/port.ts'

/** A draft that is larger waits in a file. */
const MEMORY_BYTES_MAX = 4 * 1024 * 1024

/** An object's bytes before they are sent. */
export interface Draft {
  readonly body: ObjectBody
  /** Of the bytes, hexadecimal. */
  readonly sha256: string
  dispose(): Promise<void>
}

/** Keeps bytes until they are sent, in memory or past 4 MiB in a file in `folder`. Rejects as `chunks` does. */
export async function draftOf(chunks: AsyncIterable<Buffer>, folder: string): Promise<Draft> {
  const hash = createHash('sha256')
  const sink = new DraftSink(folder)
  try {
    for await (const chunk of chunks) {
      hash.update(chunk)
      await sink.write(chunk)
    }
    const body = await sink.finish()
    return { body, sha256: hash.digest('hex'), dispose: async () => sink.remove() }
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
