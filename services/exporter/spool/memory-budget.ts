/** Bytes of events that wait in memory for their ranges to be sealed, over all partitions of the process. */
export class MemoryBudget {
  readonly #bytesMax: number
  readonly #holders = new Map<object, number>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Says how much `holder` holds now; 0 once it holds nothing. */
  set(holder: object, bytes: number): void {
    this.#bytes += bytes - (this.#holders.get(holder) ?? 0)
    if (bytes === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, bytes)
  }

  /** Whether `holder` should let go of what it holds: memory is short, and it has at least its share. */
  isOver(holder: object): boolean {
    if (this.#bytes <= this.#bytesMax) return false
    return (this.#holders.get(holder) ?? 0) >= this.#bytesMax / Math.max(1, this.#holders.size)
  }
}
