/** Offsets, both ends included. */
export interface Offsets {
  readonly first: bigint
  readonly last: bigint
}

export type CoverFault = Offsets & { readonly kind: 'gap' | 'overlap' }

/** Ranges of a partition, added in the order of their first offsets, must follow each other without a gap or an overlap. */
export class RangeCover {
  #next: bigint | undefined

  /** `start`: where the first range has to begin, when that is known. */
  constructor(start: bigint | undefined) {
    this.#next = start
  }

  /** Everything before it is covered, or was told of as a gap; undefined before the first range when no start was given. */
  get next(): bigint | undefined {
    return this.#next
  }

  add({ first, last }: Offsets): CoverFault | undefined {
    const next = this.#next ?? first
    if (last >= next) this.#next = last + 1n
    if (first > next) return { kind: 'gap', first: next, last: first - 1n }
    if (first < next) return { kind: 'overlap', first, last: last < next ? last : next - 1n }
    return undefined
  }
}
