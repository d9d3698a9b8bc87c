import type { ArchivedEvent } from '../domain/line.ts'
import { eventsOf } from '../domain/lines.ts'
import type { FileEvent, LineWriter } from '../formats/format.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { Spool, type Strand } from '../spool/spool.ts'

/** Events that become one file. */
export interface FileGroup {
  /** Of its key, up to the file's name. */
  readonly prefix: string
  /** From 1 on, within the prefix. */
  readonly part: number
  readonly events: number
  readonly strand: Strand
}

interface Part {
  readonly part: number
  readonly strand: Strand
  bytes: number
  events: number
}

const NEWLINE = 0x0a

/** As the archive has them. */
const ARCHIVED = {
  bytesMax: ({ line }: ArchivedEvent): number => line.length + 1,
  write(target: Buffer, at: number, { line }: ArchivedEvent): number {
    target.set(line, at)
    target[at + line.length] = NEWLINE
    return at + line.length + 1
  },
}

/** Gathers a collection's events by the file they go to: by prefix, and past a number of bytes into the next part. */
export class GroupSpool {
  readonly #spool: Spool
  readonly #targetBytes: number
  readonly #groups = new Map<string, Part[]>()

  readonly #lines: LineWriter | undefined

  /** `lines`: events wait as their files have them; without, as the archive has them. */
  constructor(folder: string, budget: MemoryBudget, targetBytes: number, lines?: LineWriter) {
    this.#lines = lines
    this.#spool = new Spool(folder, budget)
    this.#targetBytes = targetBytes
  }

  add(prefix: string, event: ArchivedEvent): void {
    const parts = this.#groups.get(prefix) ?? []
    if (parts.length === 0) this.#groups.set(prefix, parts)
    let part = parts.at(-1)
    if (part === undefined || part.bytes >= this.#targetBytes) {
      part = { part: parts.length + 1, strand: this.#spool.strand(), bytes: 0, events: 0 }
      parts.push(part)
    }
    const { strand } = part
    const writer = this.#lines ?? ARCHIVED
    const slab = this.#spool.room(strand, writer.bytesMax(event))
    const bytes = writer.write(slab, strand.used, event) - strand.used
    this.#spool.took(strand, bytes)
    part.bytes += bytes
    part.events += 1
  }

  /** In the order of their prefixes and parts. */
  get groups(): readonly FileGroup[] {
    return [...this.#groups.entries()]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([prefix, parts]) => parts.map(({ part, events, strand }) => ({ prefix, part, events, strand })))
  }

  /** A group's lines; pieces of any size. */
  lines({ strand }: FileGroup): AsyncIterable<Buffer> {
    return this.#spool.read(strand)
  }

  /** A group's events, where they wait as the archive has them; a batch is good until the next one is asked for. */
  events(group: FileGroup): AsyncIterable<readonly FileEvent[]> {
    return eventsOf(this.lines(group), () => new Error('the spool does not hold what was put in'))
  }

  spillIfOver(): Promise<void> {
    return this.#spool.spillIfOver()
  }

  close(): Promise<void> {
    return this.#spool.close()
  }
}
