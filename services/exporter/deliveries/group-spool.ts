import type { ObjectBody } from '../../shared/bucket/port.ts'
import { Readable } from 'node:stream'
import { type ArchivedEvent, parseLine } from '../domain/line.ts'
import { eventsOf } from '../domain/lines.ts'
import { mayHaveKeen } from '../formats/event-line.ts'
import type { BlockPacker, FileEvent, FileFormat, LineWriter } from '../formats/format.ts'
import { rewriteLines } from '../formats/rewrite-lines.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { Spool, type Strand } from '../spool/spool.ts'

/** Events that become one file. */
export interface FileGroup {
  /** Of its key, up to the file's name. */
  readonly prefix: string
  /** From 1 on, within the prefix. */
  readonly part: number
  readonly events: number
}

/** A file that is packed. */
export interface PackedFile {
  readonly body: ObjectBody
  /** Of its bytes, and of its lines; hexadecimal. */
  readonly sha256: string
  readonly contentSha256: string
}

interface Part extends FileGroup {
  events: number
  /** Of all its lines. */
  bytes: number
  /** Lines, those aside that are packed. */
  lines: Strand
  lineBytes: number
  readonly packed: { readonly strand: Strand; readonly packer: BlockPacker } | undefined
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
  readonly #blocks:
    | { readonly blockBytes: number; readonly packer: () => BlockPacker; readonly block: Buffer }
    | undefined
  readonly #groups = new Map<string, Part[]>()
  /** Those with a block's worth of lines. */
  readonly #full = new Set<Part>()

  constructor(folder: string, budget: MemoryBudget, targetBytes: number, format: FileFormat) {
    this.#spool = new Spool(folder, budget)
    this.#targetBytes = targetBytes
    this.#writer = format.kind === 'lines' ? format.lines : undefined
    if (format.kind !== 'lines' || format.packing.kind !== 'blocks') return
    this.#blocks = { ...format.packing, block: Buffer.allocUnsafeSlow(format.packing.blockBytes) }
  }

  add(prefix: string, event: ArchivedEvent): void {
    const part = this.#partFor(prefix)
    const writer = this.#writer ?? ARCHIVED
    const slab = this.#spool.room(part.lines, writer.bytesMax(event))
    const bytes = writer.write(slab, part.lines.used, event) - part.lines.used
    this.#spool.took(part.lines, bytes)
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
      const found = rewriteLines(lines, from, this.#targetBytes - part.bytes, isOther)
      this.#spool.append(part.lines, lines.subarray(from, found.end))
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
    for (const part of this.#full) await this.#packFull(part)
    this.#full.clear()
    await this.#spool.spillIfOver()
  }

  /** In the order of their prefixes and parts. */
  get groups(): readonly FileGroup[] {
    return this.#parts
  }

  /** A group's lines, where they are not packed; pieces of any size. */
  lines(group: FileGroup): AsyncIterable<Buffer> {
    return this.#spool.read(this.#partOf(group).lines)
  }

  /** A group's events, where they wait as the archive has them; a batch is good until the next one is asked for. */
  events(group: FileGroup): AsyncIterable<readonly FileEvent[]> {
    return eventsOf(this.lines(group), () => new Error('the spool does not hold what was put in'))
  }

  /** The file of a group whose lines are packed; undefined where they are not. After `settle`, once; good until `close`. */
  async finish(group: FileGroup): Promise<PackedFile | undefined> {
    const part = this.#partOf(group)
    if (part.packed === undefined) return undefined
    const { strand, packer } = part.packed
    if (part.lineBytes > 0) this.#spool.append(strand, packer.pack(await this.#spool.take(part.lines)))
    const { tail, bytes, sha256, contentSha256 } = packer.finish()
    this.#spool.append(strand, tail)
    const open = (): Readable => Readable.from(this.#spool.read(strand), { objectMode: false })
    return { body: { bytes, open }, sha256, contentSha256 }
  }

  close(): Promise<void> {
    return this.#spool.close()
  }

  get #parts(): readonly Part[] {
    return [...this.#groups.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, parts]) => parts)
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
    const packed = this.#blocks && { strand: this.#spool.strand(), packer: this.#blocks.packer() }
    const lines = this.#spool.strand()
    const part = { prefix, part: parts.length + 1, events: 0, bytes: 0, lines, lineBytes: 0, packed }
    parts.push(part)
    return part
  }

  #added(part: Part, bytes: number, events: number): void {
    part.bytes += bytes
    part.lineBytes += bytes
    part.events += events
    if (this.#blocks !== undefined && part.lineBytes >= this.#blocks.blockBytes) this.#full.add(part)
  }

  /** Packs all whole blocks of a part's lines; what is behind them goes on waiting. */
  async #packFull(part: Part): Promise<void> {
    if (this.#blocks === undefined || part.packed === undefined) return
    const { strand, packer } = part.packed
    const { blockBytes, block } = this.#blocks
    const rest = this.#spool.strand()
    let left = part.lineBytes - (part.lineBytes % blockBytes)
    let used = 0
    for await (const piece of this.#spool.read(part.lines)) {
      let at = 0
      while (at < piece.length && left > 0) {
        const copied = piece.copy(block, used, at, Math.min(piece.length, at + left))
        at += copied
        used += copied
        left -= copied
        if (used < blockBytes) continue
        this.#spool.append(strand, packer.pack(block))
        used = 0
      }
      if (at < piece.length) this.#spool.append(rest, piece.subarray(at))
    }
    this.#spool.drop(part.lines)
    part.lines = rest
    part.lineBytes %= blockBytes
  }
}
