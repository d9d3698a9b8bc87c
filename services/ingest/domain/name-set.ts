const SLOTS_PER_NAME = 4

/**
 * The names of one event, as hashes that each begin with their object's number, so that a name given twice in one
 * object is found. A hash that two names share is taken for a repeat: then the whole rules look at the event, and
 * nothing is lost but time.
 */
export class NameSet {
  readonly #namesMax: number
  readonly #slots: Int32Array
  /** Slots of earlier events count as empty, so that nothing has to be cleared between events. */
  readonly #stamps: Int32Array
  #stamp = 0
  #count = 0
  #objects = 0

  constructor(namesMax: number) {
    this.#namesMax = namesMax
    const slots = 2 ** Math.ceil(Math.log2(namesMax * SLOTS_PER_NAME))
    this.#slots = new Int32Array(slots)
    this.#stamps = new Int32Array(slots)
  }

  clear(): void {
    this.#count = 0
    this.#objects = 0
    this.#stamp = (this.#stamp + 1) | 0
    if (this.#stamp === 0) {
      this.#stamps.fill(0)
      this.#stamp = 1
    }
  }

  /** What the hashes of the next object's names begin with; never 0. */
  object(): number {
    this.#objects += 1
    return Math.imul(this.#objects, 0x9e37_79b1) ^ 0x811c_9dc5
  }

  /** False when the name is there, or there are too many. */
  add(hash: number): boolean {
    this.#count += 1
    if (this.#count > this.#namesMax) return false
    const mask = this.#slots.length - 1
    let slot = (hash ^ (hash >>> 15)) & mask
    while (this.#stamps[slot] === this.#stamp) {
      if (this.#slots[slot] === hash) return false
      slot = (slot + 1) & mask
    }
    this.#stamps[slot] = this.#stamp
    this.#slots[slot] = hash
    return true
  }
}
