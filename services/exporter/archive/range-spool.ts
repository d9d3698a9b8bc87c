import type { LoggedEvent } from '../../shared/events/event.ts'
import { HOUR_MS, type PartName } from '../domain/archive-key.ts'
import { LINE_END, lineHead, onOneLine } from '../domain/line.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { Spool } from '../spool/spool.ts'

/** What becomes one object: its lines, in the order of their offsets. */
export interface SpooledPart extends PartName {
  readonly events: number
  readonly first: bigint
  readonly last: bigint
}

type Part = { -readonly [K in keyof SpooledPart]: SpooledPart[K] }

/** Gathers the events of one range by the object they go to. */
export class RangeSpool {
  readonly #spool: Spool
  readonly #parts = new Map<string, Part>()

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
    return this.#spool.size
  }

  /** In the order of project, hour and collection. */
  get parts(): readonly SpooledPart[] {
    return [...this.#parts.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part)
  }

  add(event: LoggedEvent, offset: bigint): void {
    const { project, collection, properties, createdAtMs } = event
    const hourMs = Math.floor(createdAtMs / HOUR_MS) * HOUR_MS
    const key = keyOf({ project, collection, hourMs })
    let part = this.#parts.get(key)
    if (part === undefined) {
      part = { project, collection, hourMs, events: 0, first: offset, last: offset }
      this.#parts.set(key, part)
    }
    part.events += 1
    part.last = offset
    const head = lineHead(event, offset)
    const { slab, start } = this.#spool.room(key, head.length + properties.length + LINE_END.length)
    const middle = start + head.length
    slab.write(head, start, 'latin1')
    slab.set(properties, middle)
    onOneLine(slab.subarray(middle, middle + properties.length))
    slab.write(LINE_END, middle + properties.length, 'latin1')
  }

  /** A part's lines; pieces of any size. */
  read(part: SpooledPart): AsyncIterable<Buffer> {
    return this.#spool.read(keyOf(part))
  }

  /** Moves what is in memory to a file when the process is short of memory. */
  spillIfOver(): Promise<void> {
    return this.#spool.spillIfOver()
  }

  close(): Promise<void> {
    return this.#spool.close()
  }
}

const keyOf = ({ project, hourMs, collection }: PartName): string => `${project}/${hourMs}/${collection}`
