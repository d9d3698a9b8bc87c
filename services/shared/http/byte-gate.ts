/** Bounds the bytes of request bodies that a process holds at once. */
export class ByteGate {
  readonly bytesMax: number
  #held = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get held(): number {
    return this.#held
  }

  /** Whether so many more would fit now. */
  fits(bytes: number): boolean {
    return this.#held + bytes <= this.bytesMax
  }

  /** Takes the bytes if they fit; false otherwise. */
  take(bytes: number): boolean {
    if (!this.fits(bytes)) return false
    this.#held += bytes
    return true
  }

  release(bytes: number): void {
    this.#held -= bytes
  }
}
