const LENGTH = '0000-00-00T00:00:00.000Z'.length
/** Up to the milliseconds. */
const SECOND_LENGTH = '0000-00-00T00:00:00.'.length
const ZERO = 0x30

/** Bytes that a time takes. */
export const TIME_BYTES = LENGTH

/** Writes the milliseconds of a time whose text stands at `at`. */
export function writeMillis(target: Buffer, at: number, ms: number): void {
  const rest = ms - Math.floor(ms / 1_000) * 1_000
  const digits = at + SECOND_LENGTH
  const hundreds = Math.floor(rest / 100)
  const tens = Math.floor(rest / 10)
  target[digits] = ZERO + hundreds
  target[digits + 1] = ZERO + (tens - 10 * hundreds)
  target[digits + 2] = ZERO + (rest - 10 * tens)
}

/** The second of a time's text that stays at one place while times come one after the other. */
export class KeptSecond {
  readonly #target: Buffer
  readonly #at: number
  #second = Number.NaN

  constructor(target: Buffer, at: number) {
    this.#target = target
    this.#at = at
  }

  /** Puts the second of `ms` there; its milliseconds are `writeMillis`'s. */
  put(ms: number): void {
    const second = Math.floor(ms / 1_000)
    if (second === this.#second) return
    this.#target.write(new Date(second * 1_000).toISOString(), this.#at, 'latin1')
    this.#second = second
  }
}

/**
 * Times as `2025-01-31T23:59:59.123Z`, written and read again. Most times that come one after the other share their second,
 * which is then kept or compared instead of made anew: one object for each column of times.
 */
export class TimeText {
  readonly #text = Buffer.alloc(LENGTH)
  #secondMs = Number.NaN

  /** Writes `ms`, milliseconds since 1970, at `at`; returns where it ends. */
  write(target: Buffer, at: number, ms: number): number {
    const secondMs = Math.floor(ms / 1_000) * 1_000
    if (secondMs !== this.#secondMs) {
      this.#text.write(new Date(secondMs).toISOString(), 'latin1')
      this.#secondMs = secondMs
    }
    target.set(this.#text, at)
    writeMillis(target, at, ms)
    return at + LENGTH
  }

  /** The time at `at`, in milliseconds since 1970; NaN where there is none. */
  read(bytes: Buffer, at: number): number {
    if (!this.#isSecondAt(bytes, at)) {
      const ms = Date.parse(bytes.toString('latin1', at, at + LENGTH))
      if (Number.isNaN(ms)) return ms
      bytes.copy(this.#text, 0, at, at + LENGTH)
      this.#secondMs = Math.floor(ms / 1_000) * 1_000
    }
    const digits = at + SECOND_LENGTH
    const digit = (index: number): number => (bytes[digits + index] ?? 0) - ZERO
    return this.#secondMs + 100 * digit(0) + 10 * digit(1) + digit(2)
  }

  #isSecondAt(bytes: Buffer, at: number): boolean {
    if (Number.isNaN(this.#secondMs)) return false
    // What differs most often stands last.
    for (let i = SECOND_LENGTH - 1; i >= 0; i -= 1) if (bytes[at + i] !== this.#text[i]) return false
    return true
  }
}
