import { type ArchivedEvent, parseLine } from '../domain/line.ts'
import { eventsOf } from '../domain/lines.ts'
import type { BlockPacker } from '../formats/block-packer.ts'
import { mayHaveKeen } from '../formats/event-line.ts'
import type { FileEvent, FileFormat, LineWriter } from '../formats/format.ts'
import { rewriteLines } from '../formats/rewrite-lines.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { type PackedFile, PackedLines } from '../spool/packed-lines.ts'
import { Spool, type Strand } from '../spool/spool.ts'

/** Events that become one file. */
export interface FileGroup {
  /** Of its key, up to the file's name. */
  readonly prefix: string
  /** From 1 on, within the prefix. */
  readonly part: number
  readonly events: number
}

interface Part extends FileGroup {
  events: number
  /** Of all its lines. */
  bytes: number
  /** Packed as they come, or as they are. */
  readonly lines: PackedLines | Strand
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

/**
 * Gathers a collection's events by the file they go to: by prefix, and past a number of bytes into the next part. Where the format
 * is one of lines they wait as lines of their file, packed as far as it allows; else as lines of the archive.
 */
export class GroupSpool {
  readonly #spool: Spool
  readonly #targetBytes: number
  readonly #writer: LineWriter | undefined
  readonly #packer: (() => BlockPacker) | undefined
  readonly #groups = new Map<string, Part[]>()
  #full: PackedLines[] = []

  constructor(folder: string, budget: MemoryBudget, targetBytes: number, format: FileFormat) {
    this.#spool = new Spool(folder, budget)
    this.#targetBytes = targetBytes
    this.#writer = format.kind === 'whole' ? undefined : format.lines
    this.#packer = format.kind === 'blocks' ? format.packer : undefined
  }

  add(prefix: string, event: ArchivedEvent): void {
    const part = this.#partFor(prefix)
    const strand = strandOf(part)
    const writer = this.#writer ?? ARCHIVED
    const slab = this.#spool.room(strand, writer.bytesMax(event))
    const bytes = writer.write(slab, strand.used, event) - strand.used
    this.#spool.took(strand, bytes)
    this.#added(part, bytes, 1)
  }

  /**
   * Adds the events of whole lines of the archive, which are written over, where the format is one of lines. `onDamage` makes the
   * error for a line that is none of the archive's.
   */
  addLines(prefix: string, lines: Buffer, onDamage: () => Error): void {
    const isAnyOther = mayHaveKeen(lines)
    const isOther = (at: number, end: number): boolean => isAnyOther && mayHaveKeen(lines.subarray(at, end))
    for (let from = 0; from < lines.length; ) {
      const part = this.#partFor(prefix)
      const room = part.lines instanceof PackedLines ? part.lines.room : Infinity
      const found = rewriteLines(lines, from, Math.min(this.#targetBytes - part.bytes, room), isOther)
      this.#spool.append(strandOf(part), lines.subarray(from, found.end))
      this.#added(part, found.end - from, found.events)
      from = found.next
      if (!found.isOther) continue
      const end = lines.indexOf(NEWLINE, from)
      const event = parseLine(lines.subarray(from, end))
      if (event === undefined) throw onDamage()
      this.add(prefix, event)
      from = end + 1
    }
  }

  /** Packs what has become full, and moves what is in memory to a file when the process is short of memory. To be called between reads. */
  async settle(): Promise<void> {
    const full = this.#full
    this.#full = []
    for (const lines of full) await lines.settle()
    await this.#spool.spillIfOver()
  }

  /** In the order of their prefixes and parts. */
  get groups(): readonly FileGroup[] {
    return [...this.#groups.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, parts]) => parts)
  }

  /** A group's lines, where they are not packed; pieces of any size. */
  lines(group: FileGroup): AsyncIterable<Buffer> {
    return this.#spool.read(strandOf(this.#partOf(group)))
  }

  /** A group's events, where they wait as the archive has them; a batch is good until the next one is asked for. */
  events(group: FileGroup): AsyncIterable<readonly FileEvent[]> {
    return eventsOf(this.lines(group), () => new Error('the spool does not hold what was put in'))
  }

  /** The file of a group whose lines are packed. After `settle`, once; good until `close`. */
  finish(group: FileGroup): Promise<PackedFile> {
    const { lines } = this.#partOf(group)
    if (!(lines instanceof PackedLines)) throw new Error('lines that are not packed')
    return lines.finish()
  }

  close(): Promise<void> {
    return this.#spool.close()
  }

  #partOf({ prefix, part }: FileGroup): Part {
    const found = this.#groups.get(prefix)?.[part - 1]
    if (found === undefined) throw new Error('a group of another spool')
    return found
  }

  /** The part that a prefix's next event goes to. */
  #partFor(prefix: string): Part {
    const parts = this.#groups.get(prefix) ?? []
    if (parts.length === 0) this.#groups.set(prefix, parts)
    const last = parts.at(-1)
    if (last !== undefined && last.bytes < this.#targetBytes) return last
    const lines = this.#packer === undefined ? this.#spool.strand() : new PackedLines(this.#spool, this.#packer)
    const part = { prefix, part: parts.length + 1, events: 0, bytes: 0, lines }
    parts.push(part)
    return part
  }

  #added(part: Part, bytes: number, events: number): void {
    part.bytes += bytes
    part.events += events
    if (part.lines instanceof PackedLines && part.lines.took(bytes)) this.#full.push(part.lines)
  }
}

/** Where a part's next line goes to. */
const strandOf = ({ lines }: Part): Strand => (lines instanceof PackedLines ? lines.strand : lines)
