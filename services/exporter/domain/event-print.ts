/** A set of events in four numbers, as text: how many, their ids' halves XORed, their offsets added (modulo 2^64). */
export interface PrintValue {
  readonly count: number
  readonly high: string
  readonly low: string
  readonly offsets: string
}

export const EMPTY_PRINT: PrintValue = { count: 0, high: '0', low: '0', offsets: '0' }

export const isSamePrint = (a: PrintValue, b: PrintValue): boolean =>
  a.count === b.count && a.high === b.high && a.low === b.low && a.offsets === b.offsets

/** The same columns of the rows of `events`: UUIDToNum gives a UUID's bytes in the order of its text. */
export const PRINT_COLUMNS = `count(),
  toString(groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum(id), 1, 8))))),
  toString(groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum(id), 9, 8))))),
  toString(sum(log_offset))`

/** Adds events in any order. */
export class EventPrint {
  #count = 0
  #offsets = 0n
  readonly #words: [number, number, number, number] = [0, 0, 0, 0]

  /** `id` is UUID text. */
  add(id: string, offset: bigint): void {
    this.#count += 1
    this.#offsets += offset
    this.#words[0] ^= Number.parseInt(id.slice(0, 8), 16)
    this.#words[1] ^= Number.parseInt(id.slice(9, 13) + id.slice(14, 18), 16)
    this.#words[2] ^= Number.parseInt(id.slice(19, 23) + id.slice(24, 28), 16)
    this.#words[3] ^= Number.parseInt(id.slice(28), 16)
  }

  get value(): PrintValue {
    const [a, b, c, d] = this.#words.map((word) => BigInt.asUintN(32, BigInt(word))) as [bigint, bigint, bigint, bigint]
    return {
      count: this.#count,
      high: String((a << 32n) | b),
      low: String((c << 32n) | d),
      offsets: String(BigInt.asUintN(64, this.#offsets)),
    }
  }
}
