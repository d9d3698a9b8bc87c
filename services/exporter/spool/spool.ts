import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { MemoryBudget } from './memory-budget.ts'

const SLAB_BYTES_MIN = 1024
const SLAB_BYTES_MAX = 64 * 1024
const READ_BYTES = 256 * 1024
/** About as many as the system takes at once; strands that are few and small would each pay for a call of its own. */
const BUFFERS_A_WRITE = 512

/** One sequence of bytes of a spool. Its inside is the spool's alone. */
export class Strand {
  /** Stretches of the file. */
  readonly segments: { readonly start: number; readonly bytes: number }[] = []
  /** Full of bytes; the last one up to `used`. */
  slabs: Buffer[] = []
  /** Where the next bytes go, in what `room` gave. */
  used = 0
  /** Of memory, for its slabs. */
  held = 0
  /** Of the next slab, at least. */
  slabBytes: number
  readonly #firstSlabBytes: number

  constructor(slabBytes: number) {
    this.#firstSlabBytes = slabBytes
    this.slabBytes = slabBytes
  }

  /** What is in memory was moved elsewhere. */
  letGo(): void {
    this.slabs = []
    this.used = 0
    this.held = 0
    this.slabBytes = this.#firstSlabBytes
  }

  /** What is in memory, in order. */
  get inMemory(): readonly Buffer[] {
    const last = this.slabs.length - 1
    return this.slabs.map((slab, index) => (index === last ? slab.subarray(0, this.used) : slab))
  }
}

/**
 * Bytes that are added to many strands by turns, and read strand by strand: in memory, and past the process's budget in one
 * file, however many strands there are. What comes out does not depend on when it went to the file.
 */
export class Spool {
  readonly #folder: string
  readonly #budget: MemoryBudget
  readonly #strands = new Set<Strand>()
  #file: { readonly handle: FileHandle; readonly path: string } | undefined
  #fileBytes = 0
  #held = 0

  /** The file, if there is one, is in `folder`, under a name that begins with the process's id. */
  constructor(folder: string, budget: MemoryBudget) {
    this.#folder = folder
    this.#budget = budget
  }

  get fileBytes(): number {
    return this.#fileBytes
  }

  /** A new one, which asks for memory in slabs that grow, or of `slabBytes` where it is known to need that much. */
  strand(slabBytes: number = SLAB_BYTES_MIN): Strand {
    const strand = new Strand(slabBytes)
    this.#strands.add(strand)
    return strand
  }

  /** A buffer that takes at least `bytesMax` bytes from `strand.used` on; the caller writes there at once, and says how many with `took`. */
  room(strand: Strand, bytesMax: number): Buffer {
    const { slabs } = strand
    const current = slabs[slabs.length - 1]
    if (current !== undefined && current.length - strand.used >= bytesMax) return current
    const slab = Buffer.allocUnsafeSlow(Math.max(strand.slabBytes, bytesMax))
    if (strand.slabBytes < SLAB_BYTES_MAX) strand.slabBytes *= 2
    this.#push(strand, slab)
    strand.used = 0
    return slab
  }

  took(strand: Strand, bytes: number): void {
    strand.used += bytes
  }

  /** Adds bytes that nobody else changes any more, as they are. */
  append(strand: Strand, bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#push(strand, bytes)
    strand.used = bytes.length
  }

  /** Moves what is in memory to the file when the process is short of memory. */
  async spillIfOver(): Promise<void> {
    if (!this.#budget.isOver(this)) return
    this.#file ??= await this.#openFile()
    let group: Strand[] = []
    let buffers: Buffer[] = []
    for (const strand of this.#strands) {
      if (strand.slabs.length === 0) continue
      group.push(strand)
      buffers.push(...strand.inMemory)
      if (buffers.length < BUFFERS_A_WRITE) continue
      await this.#spill(this.#file.handle, group, buffers)
      group = []
      buffers = []
    }
    await this.#spill(this.#file.handle, group, buffers)
  }

  /** A strand's bytes from their start, in pieces of any size. */
  async *read(strand: Strand): AsyncGenerator<Buffer> {
    for (const segment of strand.segments) {
      for (let at = 0; at < segment.bytes; ) {
        const length = Math.min(READ_BYTES, segment.bytes - at)
        const read = await this.#file?.handle.read(Buffer.allocUnsafe(length), 0, length, segment.start + at)
        if (read === undefined || read.bytesRead === 0) throw new Error('the spool is shorter than what was written')
        yield read.buffer.subarray(0, read.bytesRead)
        at += read.bytesRead
      }
    }
    yield* strand.inMemory
  }

  /** All of a strand's bytes, in pieces, and the end of the strand. */
  async take(strand: Strand): Promise<readonly Buffer[]> {
    const pieces: Buffer[] = []
    for await (const piece of this.read(strand)) pieces.push(piece)
    this.drop(strand)
    return pieces
  }

  /** The end of a strand. What the file has of it goes with the file. */
  drop(strand: Strand): void {
    this.#strands.delete(strand)
    this.#letGo(strand)
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

  async #spill(file: FileHandle, strands: readonly Strand[], buffers: readonly Buffer[]): Promise<void> {
    if (buffers.length === 0) return
    const { bytesWritten } = await file.writev(buffers)
    let start = this.#fileBytes
    for (const strand of strands) {
      const bytes = strand.inMemory.reduce((sum, buffer) => sum + buffer.length, 0)
      strand.segments.push({ start, bytes })
      start += bytes
      this.#letGo(strand)
    }
    if (start !== this.#fileBytes + bytesWritten) throw new Error('the spool took less than it was given')
    this.#fileBytes = start
  }

  #push(strand: Strand, slab: Buffer): void {
    const last = strand.slabs.length - 1
    const current = strand.slabs[last]
    if (current !== undefined && strand.used < current.length) strand.slabs[last] = current.subarray(0, strand.used)
    strand.slabs.push(slab)
    strand.held += slab.length
    this.#hold(slab.length)
  }

  #letGo(strand: Strand): void {
    this.#hold(-strand.held)
    strand.letGo()
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
