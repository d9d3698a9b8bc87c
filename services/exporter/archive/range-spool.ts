import { Readable } from 'node:stream'
import type { ObjectBody } from '../../shared/bucket/port.ts'
import type { FramedEvent } from '../../shared/events/event.ts'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { HOUR_MS, type PartName } from '../domain/archive-key.ts'
import { lineBytesMax, writeLine } from '../domain/line.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { Spool, type Strand } from '../spool/spool.ts'
import { BLOCK_BYTES, ObjectPacker, type PackedStamp } from './object-packer.ts'

/** For a strand that has filled a block: the next one, with the line that goes past it. */
const BLOCK_SLAB_BYTES = BLOCK_BYTES + 16 * 1024

/** What becomes one object: its lines, in the order of their offsets. */
export interface SpooledPart extends PartName {
  readonly events: number
  readonly first: bigint
  readonly last: bigint
}

/** An object, packed. */
export interface PackedObject extends PackedStamp {
  readonly body: ObjectBody
  /** Gives its memory back. */
  dispose(): void
}

interface Part extends PartName {
  readonly first: bigint
  events: number
  last: bigint
  /** Whole lines, of the block that is not full yet. */
  lines: Strand
  lineBytes: number
  /** The blocks before it. */
  packed: { readonly strand: Strand; readonly packer: ObjectPacker } | undefined
}

/** Gathers the events of one range by the object they go to, and packs them as they come. */
export class RangeSpool {
  readonly #spool: Spool
  readonly #format: ArchiveFormat
  readonly #parts = new Map<string, Part>()
  #full: { readonly part: Part; readonly lines: Strand }[] = []
  #bytes = 0
  #hourMs = Number.NaN
  #project = ''
  #ofHour = new Map<string, Part>()

  constructor(folder: string, budget: MemoryBudget, format: ArchiveFormat) {
    this.#spool = new Spool(folder, budget)
    this.#format = format
  }

  /** Of all lines. */
  get bytes(): number {
    return this.#bytes
  }

  get fileBytes(): number {
    return this.#spool.fileBytes
  }

  /** How many objects. */
  get size(): number {
    return this.#parts.size
  }

  /** In the order of project, hour and collection. */
  get parts(): readonly SpooledPart[] {
    return [...this.#parts.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part)
  }

  add(event: FramedEvent, offset: bigint): void {
    const part = this.#partOf(event, Math.floor(event.createdAtMs / HOUR_MS) * HOUR_MS, offset)
    const { lines } = part
    const slab = this.#spool.room(lines, lineBytesMax(event))
    const bytes = writeLine(slab, lines.used, event, offset) - lines.used
    this.#spool.took(lines, bytes)
    this.#bytes += bytes
    part.events += 1
    part.last = offset
    part.lineBytes += bytes
    if (part.lineBytes < BLOCK_BYTES) return
    this.#full.push({ part, lines })
    part.lines = this.#spool.strand(BLOCK_SLAB_BYTES)
    part.lineBytes = 0
  }

  /** Packs what has become full, and moves what is in memory to a file when the process is short of memory. To be called between reads. */
  async settle(): Promise<void> {
    const full = this.#full
    this.#full = []
    for (const { part, lines } of full) await this.#pack(part, lines)
    await this.#spool.spillIfOver()
  }

  /** The end of a part: the object it makes. After `settle`, once. */
  async finish(spooled: SpooledPart): Promise<PackedObject> {
    const part = this.#parts.get(nameOf(spooled))
    if (part === undefined) throw new Error('a part of another range')
    if (part.lineBytes > 0) await this.#pack(part, part.lines)
    if (part.packed === undefined) throw new Error('a part without lines')
    const { strand, packer } = part.packed
    const { tail, ...stamp } = packer.finish()
    this.#spool.append(strand, tail)
    const open = (): Readable => Readable.from(this.#spool.read(strand), { objectMode: false })
    return { ...stamp, body: { bytes: stamp.bytes, open }, dispose: () => this.#spool.drop(strand) }
  }

  close(): Promise<void> {
    return this.#spool.close()
  }

  async #pack(part: Part, lines: Strand): Promise<void> {
    part.packed ??= { strand: this.#spool.strand(), packer: new ObjectPacker(this.#format) }
    const { strand, packer } = part.packed
    this.#spool.append(strand, packer.pack(await this.#spool.take(lines)))
  }

  #partOf({ project, collection }: FramedEvent, hourMs: number, offset: bigint): Part {
    // Events of one project and hour come one after the other: then the collection alone says which part it is.
    if (hourMs !== this.#hourMs || project !== this.#project) {
      this.#hourMs = hourMs
      this.#project = project
      this.#ofHour = new Map()
    }
    let part = this.#ofHour.get(collection)
    if (part !== undefined) return part
    const key = nameOf({ project, collection, hourMs })
    part = this.#parts.get(key)
    if (part === undefined) {
      const lines = this.#spool.strand()
      part = {
        project,
        collection,
        hourMs,
        events: 0,
        first: offset,
        last: offset,
        lines,
        lineBytes: 0,
        packed: undefined,
      }
      this.#parts.set(key, part)
    }
    this.#ofHour.set(collection, part)
    return part
  }
}

const nameOf = ({ project, hourMs, collection }: PartName): string => `${project}/${hourMs}/${collection}`
