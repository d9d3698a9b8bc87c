import type { FramedEvent } from '../../shared/events/event.ts'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { HOUR_MS, type PartName } from '../domain/archive-key.ts'
import { lineBytesMax, writeLine } from '../domain/line.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { type PackedFile, PackedLines } from '../spool/packed-lines.ts'
import { Spool } from '../spool/spool.ts'
import { objectPacker } from './object-packer.ts'

/** What becomes one object: its lines, in the order of their offsets. */
export interface SpooledPart extends PartName {
  readonly events: number
  readonly first: bigint
  readonly last: bigint
}

interface Part extends PartName {
  readonly first: bigint
  events: number
  last: bigint
  readonly lines: PackedLines
}

/** Gathers the events of one range by the object they go to, and packs them as they come. */
export class RangeSpool {
  readonly #spool: Spool
  readonly #format: ArchiveFormat
  readonly #parts = new Map<string, Part>()
  #full: PackedLines[] = []
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
    const { strand } = part.lines
    const slab = this.#spool.room(strand, lineBytesMax(event))
    const bytes = writeLine(slab, strand.used, event, offset) - strand.used
    this.#spool.took(strand, bytes)
    this.#bytes += bytes
    part.events += 1
    part.last = offset
    if (part.lines.took(bytes)) this.#full.push(part.lines)
  }

  /** Packs what has become full, and moves what is in memory to a file when the process is short of memory. To be called between reads. */
  async settle(): Promise<void> {
    const full = this.#full
    this.#full = []
    for (const lines of full) await lines.settle()
    await this.#spool.spillIfOver()
  }

  /** The end of a part: the object it makes. After `settle`, once. */
  async finish(spooled: SpooledPart): Promise<PackedFile> {
    const part = this.#parts.get(nameOf(spooled))
    if (part === undefined) throw new Error('a part of another range')
    return part.lines.finish()
  }

  close(): Promise<void> {
    return this.#spool.close()
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
      const lines = new PackedLines(this.#spool, () => objectPacker(this.#format))
      part = { project, collection, hourMs, events: 0, first: offset, last: offset, lines }
      this.#parts.set(key, part)
    }
    this.#ofHour.set(collection, part)
    return part
  }
}

const nameOf = ({ project, hourMs, collection }: PartName): string => `${project}/${hourMs}/${collection}`
