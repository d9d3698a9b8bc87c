import { MalformedDatum } from '../../shared/events/wire.ts'

/** Takes bytes off a stream's front. Throws MalformedDatum when it ends too early. */
export class StreamFront {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return true
      this.#rest = next.value
    }
    return false
  }

  /** What is claimed and not there takes no memory: bytes are gathered as they come. */
  async take(bytes: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let missing = bytes; missing > 0; ) {
      if (await this.isAtEnd()) throw new MalformedDatum('ends too early')
      const piece = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(piece.length)
      missing -= piece.length
      pieces.push(piece)
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
  }
}
