import { Readable } from 'node:stream'
import type { ObjectBody } from '../../shared/bucket/port.ts'
import { BLOCK_BYTES, type BlockPacker, type PackedStamp } from '../formats/block-packer.ts'
import type { Spool, Strand } from './spool.ts'

/** For a strand that has filled a block: the next one, with the line that goes past it. */
const BLOCK_SLAB_BYTES = BLOCK_BYTES + 16 * 1024

/** A file, packed. */
export interface PackedFile extends PackedStamp {
  readonly body: ObjectBody
  /** Gives its memory back. */
  dispose(): void
}

/** Lines of one file, added to a spool and packed in blocks as these fill. Where a block ends depends on the lines alone. */
export class PackedLines {
  readonly #spool: Spool
  readonly #newPacker: () => BlockPacker
  #strand: Strand
  #bytes = 0
  #full: Strand[] = []
  #packed: { readonly strand: Strand; readonly packer: BlockPacker } | undefined

  constructor(spool: Spool, newPacker: () => BlockPacker) {
    this.#spool = spool
    this.#newPacker = newPacker
    this.#strand = spool.strand()
  }

  /** Where the next whole lines go to. */
  get strand(): Strand {
    return this.#strand
  }

  /** How many bytes are wanting until the block is full: it ends with the line that reaches them. */
  get room(): number {
    return BLOCK_BYTES - this.#bytes
  }

  /** Says how many bytes have gone to the strand; true when a block is full, and `settle` has something to do. */
  took(bytes: number): boolean {
    this.#bytes += bytes
    if (this.#bytes < BLOCK_BYTES) return false
    this.#full.push(this.#strand)
    this.#strand = this.#spool.strand(BLOCK_SLAB_BYTES)
    this.#bytes = 0
    return true
  }

  /** Packs the blocks that have become full. */
  async settle(): Promise<void> {
    const full = this.#full
    this.#full = []
    for (const strand of full) await this.#pack(strand)
  }

  /** The end of the lines: the file that they make. After `settle`, once; good until the spool is closed. */
  async finish(): Promise<PackedFile> {
    if (this.#bytes > 0) await this.#pack(this.#strand)
    if (this.#packed === undefined) throw new Error('a file without lines')
    const { strand, packer } = this.#packed
    const { tail, ...stamp } = packer.finish()
    this.#spool.append(strand, tail)
    const open = (): Readable => Readable.from(this.#spool.read(strand), { objectMode: false })
    return { ...stamp, body: { bytes: stamp.bytes, open }, dispose: () => this.#spool.drop(strand) }
  }

  async #pack(lines: Strand): Promise<void> {
    this.#packed ??= { strand: this.#spool.strand(), packer: this.#newPacker() }
    const { strand, packer } = this.#packed
    this.#spool.append(strand, packer.pack(joined(await this.#spool.take(lines))))
  }
}

/** Most blocks are joined here: memory of their own would be thrown away at once, which the collector takes its time over. */
const scratch = Buffer.allocUnsafeSlow(2 * BLOCK_BYTES)

/** Good until the next call. */
function joined(pieces: readonly Buffer[]): Buffer {
  const [only, ...others] = pieces
  if (only !== undefined && others.length === 0) return only
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0)
  if (bytes > scratch.length) return Buffer.concat(pieces, bytes)
  let at = 0
  for (const piece of pieces) at += piece.copy(scratch, at)
  return scratch.subarray(0, bytes)
}
