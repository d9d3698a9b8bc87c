/** Buffers of this size and more are worth keeping; smaller ones come and go cheaply. */
const BYTES_MIN = 1024 * 1024
/** A buffer that one unusual batch blew up is not kept for ever. */
const BYTES_MAX = 96 * 1024 * 1024

/**
 * Buffers that were used and can be used again. A batch's rows take tens of megabytes; taking them anew each time costs
 * the kernel a fault a page, and the process the memory of every buffer that the collector has not come to yet.
 */
export class RowBuffers {
  readonly #kept: Buffer[] = []
  readonly #keptMax: number

  constructor(keptMax: number) {
    this.#keptMax = keptMax
  }

  /** A buffer of at least this size, with anything in it. */
  take(bytes: number): Buffer {
    const index = this.#kept.findIndex((buffer) => buffer.length >= bytes)
    const [kept] = index === -1 ? [] : this.#kept.splice(index, 1)
    if (kept !== undefined) return kept
    // Rounded up, so that batches of nearly one size can use each other's.
    return Buffer.allocUnsafeSlow(Math.ceil(bytes / BYTES_MIN) * BYTES_MIN)
  }

  /** Gives back what `take` gave, or a view of it. Only once nobody reads it any more. */
  give(view: Buffer): void {
    const { buffer } = view
    if (buffer.byteLength < BYTES_MIN || buffer.byteLength > BYTES_MAX) return
    if (this.#kept.length >= this.#keptMax) this.#kept.shift()
    this.#kept.push(Buffer.from(buffer))
  }
}
