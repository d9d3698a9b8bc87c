import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoggedEvent } from '../../shared/events/event.ts'
import { HOUR_MS, type PartName } from '../domain/archive-key.ts'
import { HEAD_BYTES_MAX, LINE_END, writeHead, writeOnOneLine } from '../domain/line.ts'
import type { MemoryBudget } from './memory-budget.ts'

const SLAB_BYTES_MIN = 1024
const SLAB_BYTES_MAX = 64 * 1024
const READ_BYTES = 256 * 1024

/** A stretch of the spool's file. */
interface Segment {
  readonly start: number
  readonly bytes: number
}

/** What becomes one object: its lines, in the order of their offsets. */
export interface SpooledPart extends PartName {
  readonly events: number
  readonly first: bigint
  readonly last: bigint
  /** Of its lines. */
  readonly bytes: number
}

class Part implements SpooledPart {
  readonly project: string
  readonly collection: string
  readonly hourMs: number
  readonly first: bigint
  last: bigint
  events = 0
  bytes = 0
  readonly segments: Segment[] = []
  /** Full of lines; the last one up to `used`. */
  slabs: Buffer[] = []
  used = 0

  constructor(name: PartName, first: bigint) {
    this.project = name.project
    this.collection = name.collection
    this.hourMs = name.hourMs
    this.first = first
    this.last = first
  }

  /** What is in memory, in order. */
  get inMemory(): readonly Buffer[] {
    return this.slabs.map((slab, index) => (index === this.slabs.length - 1 ? slab.subarray(0, this.used) : slab))
  }
}

/**
 * Gathers the events of one range by the object they go to: in memory, and past the process's budget in one file for the
 * range, however many objects there are. What comes out does not depend on when it went to the file.
 */
export class RangeSpool {
  readonly #folder: string
  readonly #budget: MemoryBudget
  readonly #parts = new Map<string, Part>()
  #hourMs = Number.NaN
  #project = ''
  #ofHour = new Map<string, Part>()
  #file: { readonly handle: FileHandle; readonly path: string } | undefined
  #fileBytes = 0
  #held = 0
  #bytes = 0

  constructor(folder: string, budget: MemoryBudget) {
    this.#folder = folder
    this.#budget = budget
  }

  /** Of all lines. */
  get bytes(): number {
    return this.#bytes
  }

  get fileBytes(): number {
    return this.#fileBytes
  }

  get size(): number {
    return this.#parts.size
  }

  /** In the order of project, hour and collection. */
  get parts(): readonly SpooledPart[] {
    return [...this.#parts.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part)
  }

  add(event: LoggedEvent, offset: bigint): void {
    const hourMs = Math.floor(event.createdAtMs / HOUR_MS) * HOUR_MS
    const part = this.#partOf(event, hourMs, offset)
    const { properties } = event
    const slab = this.#roomFor(part, HEAD_BYTES_MAX + properties.length + LINE_END.length)
    const start = part.used
    const afterProperties = writeOnOneLine(slab, writeHead(slab, start, event, offset), properties)
    slab.set(LINE_END, afterProperties)
    const bytes = afterProperties + LINE_END.length - start
    part.used += bytes
    part.bytes += bytes
    part.events += 1
    part.last = offset
    this.#bytes += bytes
  }

  #partOf({ project, collection }: LoggedEvent, hourMs: number, offset: bigint): Part {
    // Events of one project and hour come one after the other: then the collection alone says which part it is.
    if (hourMs !== this.#hourMs || project !== this.#project) {
      this.#hourMs = hourMs
      this.#project = project
      this.#ofHour = new Map()
    }
    let part = this.#ofHour.get(collection)
    if (part !== undefined) return part
    const key = `${project}/${hourMs}/${collection}`
    part = this.#parts.get(key)
    if (part === undefined) {
      part = new Part({ project, collection, hourMs }, offset)
      this.#parts.set(key, part)
    }
    this.#ofHour.set(collection, part)
    return part
  }

  /** Moves what is in memory to the file when the process is short of memory. */
  async spillIfOver(): Promise<void> {
    if (!this.#budget.isOver(this)) return
    this.#file ??= await this.#openFile()
    for (const part of this.#parts.values()) {
      const buffers = part.inMemory
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
      if (bytes === 0) continue
      const { bytesWritten } = await this.#file.handle.writev([...buffers])
      if (bytesWritten !== bytes) throw new Error('the spool took less than it was given')
      part.segments.push({ start: this.#fileBytes, bytes })
      this.#fileBytes += bytes
      this.#letGo(part)
    }
  }

  /** A part's lines; pieces of any size. */
  async *read(part: SpooledPart): AsyncGenerator<Buffer> {
    if (!(part instanceof Part)) throw new TypeError('a part of another spool')
    for (const segment of part.segments) {
      for (let at = 0; at < segment.bytes; ) {
        const length = Math.min(READ_BYTES, segment.bytes - at)
        const read = await this.#file?.handle.read(Buffer.allocUnsafe(length), 0, length, segment.start + at)
        if (read === undefined || read.bytesRead === 0) throw new Error('the spool is shorter than what was written')
        yield read.buffer.subarray(0, read.bytesRead)
        at += read.bytesRead
      }
    }
    yield* part.inMemory
  }

  /** Gives its memory back and removes its file. */
  async close(): Promise<void> {
    this.#parts.clear()
    this.#hourMs = Number.NaN
    this.#held = 0
    this.#budget.set(this, 0)
    const file = this.#file
    this.#file = undefined
    await file?.handle.close()
    if (file !== undefined) await rm(file.path, { force: true })
  }

  #roomFor(part: Part, bytes: number): Buffer {
    const current = part.slabs.at(-1)
    if (current !== undefined && current.length - part.used >= bytes) return current
    if (current !== undefined) part.slabs[part.slabs.length - 1] = current.subarray(0, part.used)
    const grown = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, 2 * (current?.length ?? 0)))
    const slab = Buffer.allocUnsafeSlow(Math.max(grown, bytes))
    part.slabs.push(slab)
    part.used = 0
    this.#hold(slab.length)
    return slab
  }

  #letGo(part: Part): void {
    // A slab that was cut still holds all of its memory.
    this.#hold(-part.slabs.reduce((sum, slab) => sum + slab.buffer.byteLength, 0))
    part.slabs = []
    part.used = 0
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
