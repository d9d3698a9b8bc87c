import type { LoggedEvent } from '../../shared/events/event.ts'
import { HOUR_MS, type PartName } from '../domain/archive-key.ts'
import { HEAD_BYTES_MAX, LINE_END, writeHead, writeOnOneLine } from '../domain/line.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { Spool, type Strand } from '../spool/spool.ts'

/** What becomes one object: its lines, in the order of their offsets. */
export interface SpooledPart extends PartName {
  readonly events: number
  readonly first: bigint
  readonly last: bigint
  readonly strand: Strand
}

type Part = { -readonly [K in keyof SpooledPart]: SpooledPart[K] }

/** Gathers the events of one range by the object they go to. */
export class RangeSpool {
  readonly #spool: Spool
  readonly #parts = new Map<string, Part>()
  #hourMs = Number.NaN
  #project = ''
  #ofHour = new Map<string, Part>()

  constructor(folder: string, budget: MemoryBudget) {
    this.#spool = new Spool(folder, budget)
  }

  /** Of all lines. */
  get bytes(): number {
    return this.#spool.bytes
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

  add(event: LoggedEvent, offset: bigint): void {
    const part = this.#partOf(event, Math.floor(event.createdAtMs / HOUR_MS) * HOUR_MS, offset)
    const { strand } = part
    const slab = this.#spool.room(strand, HEAD_BYTES_MAX + event.properties.length + LINE_END.length)
    const afterProperties = writeOnOneLine(slab, writeHead(slab, strand.used, event, offset), event.properties)
    slab.set(LINE_END, afterProperties)
    this.#spool.took(strand, afterProperties + LINE_END.length - strand.used)
    part.events += 1
    part.last = offset
  }

  /** A part's lines; pieces of any size. */
  read(part: SpooledPart): AsyncIterable<Buffer> {
    return this.#spool.read(part.strand)
  }

  /** Moves what is in memory to a file when the process is short of memory. */
  spillIfOver(): Promise<void> {
    return this.#spool.spillIfOver()
  }

  close(): Promise<void> {
    return this.#spool.close()
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
      part = { project, collection, hourMs, events: 0, first: offset, last: offset, strand: this.#spool.strand() }
      this.#parts.set(key, part)
    }
    this.#ofHour.set(collection, part)
    return part
  }
}
