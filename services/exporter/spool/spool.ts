import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { MemoryBudget } from './memory-budget.ts'

const SLAB_BYTES_MIN = 1024
const SLAB_BYTES_MAX = 64 * 1024
const READ_BYTES = 256 * 1024

interface Strand {
  /** Stretches of the file. */
  readonly segments: { readonly start: number; readonly bytes: number }[]
  /** Full of bytes; the last one up to `used`. */
  slabs: Buffer[]
  used: number
}

/** Where a caller writes what it asked room for. */
export interface Room {
  readonly slab: Buffer
  readonly start: number
}

/**
 * Bytes that are added to many strands by turns, and read strand by strand: in memory, and past the process's budget in one
 * file, however many strands there are. What comes out does not depend on when it went to the file.
 */
export class Spool {
  readonly #folder: string
  readonly #budget: MemoryBudget
  readonly #strands = new Map<string, Strand>()
  #file: { readonly handle: FileHandle; readonly path: string } | undefined
  #fileBytes = 0
  #held = 0
  #bytes = 0

  /** The file, if there is one, is in `folder`, under a name that begins with the process's id. */
  constructor(folder: string, budget: MemoryBudget) {
    this.#folder = folder
    this.#budget = budget
  }

  /** Of all strands. */
  get bytes(): number {
    return this.#bytes
  }

  get fileBytes(): number {
    return this.#fileBytes
  }

  get size(): number {
    return this.#strands.size
  }

  /** Room for `bytes` bytes at the end of a strand, which the caller fills at once. */
  room(key: string, bytes: number): Room {
    let strand = this.#strands.get(key)
    if (strand === undefined) {
      strand = { segments: [], slabs: [], used: 0 }
      this.#strands.set(key, strand)
    }
    const current = strand.slabs.at(-1)
    let slab = current
    if (current === undefined || current.length - strand.used < bytes) {
      if (current !== undefined) strand.slabs[strand.slabs.length - 1] = current.subarray(0, strand.used)
      const grown = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, 2 * (current?.length ?? 0)))
      slab = Buffer.allocUnsafeSlow(Math.max(grown, bytes))
      strand.slabs.push(slab)
      strand.used = 0
      this.#hold(slab.length)
    }
    const start = strand.used
    strand.used += bytes
    this.#bytes += bytes
    return { slab: slab as Buffer, start }
  }

  /** Moves what is in memory to the file when the process is short of memory. */
  async spillIfOver(): Promise<void> {
    if (!this.#budget.isOver(this)) return
    this.#file ??= await this.#openFile()
    for (const strand of this.#strands.values()) {
      const buffers = inMemory(strand)
      const [first] = buffers
      if (first === undefined) continue
      const bytes = buffers.length === 1 ? first : Buffer.concat(buffers)
      await this.#file.handle.appendFile(bytes)
      strand.segments.push({ start: this.#fileBytes, bytes: bytes.length })
      this.#fileBytes += bytes.length
      // A slab that was cut still holds all of its memory.
      this.#hold(-strand.slabs.reduce((sum, slab) => sum + slab.buffer.byteLength, 0))
      strand.slabs = []
      strand.used = 0
    }
  }

  /** A strand's bytes from their start, in pieces of any size; none for a strand that is not there. */
  async *read(key: string): AsyncGenerator<Buffer> {
    const strand = this.#strands.get(key)
    if (strand === undefined) return
    for (const segment of strand.segments) {
      for (let at = 0; at < segment.bytes; ) {
        const length = Math.min(READ_BYTES, segment.bytes - at)
        const read = await this.#file?.handle.read(Buffer.allocUnsafe(length), 0, length, segment.start + at)
        if (read === undefined || read.bytesRead === 0) throw new Error('the spool is shorter than what was written')
        yield read.buffer.subarray(0, read.bytesRead)
        at += read.bytesRead
      }
    }
    yield* inMemory(strand)
  }

  /** Gives its memory back and removes its file. */
  async close(): Promise<void> {
    this.#strands.clear()
    this.#held = 0
    this.#budget.set(this, 0)
    const file = this.#file
    this.#file = undefined
    await file?.handle.close()
    if (file !== undefined) await rm(file.path, { force: true })
  }

  #hold(bytes: number): void {
    this.#held += bytes
    this.#budget.set(this, this.#held)
  }

  async #openFile(): Promise<{ handle: FileHandle; path: string }> {
    await mkdir(this.#folder, { recursive: true })
    const path = join(this.#folder, `${process.pid}-${randomUUID()}.spool`)
    return { handle: await open(path, 'ax+'), path }
  }
}

const inMemory = ({ slabs, used }: Strand): readonly Buffer[] =>
  slabs
    .map((slab, index) => (index === slabs.length - 1 ? slab.subarray(0, used) : slab))
    .filter(({ length }) => length > 0)
