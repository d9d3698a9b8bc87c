import type { Kept } from './format.ts'

/**
 * Why a value stands in a file otherwise than by its own type at its own place; each value counts once.
 *
 * - `mixed`: a number or a boolean in a column of text, since the column has values of several types
 * - `not_exact`: a number in a column of text, since no type of the format holds all the column's numbers exactly
 * - `array`: an array as JSON text
 * - `empty_object`: `{}` as JSON text
 * - `too_deep`: an object more than 10 names deep, as JSON text
 * - `lone_surrogate`: a string with half a surrogate pair, which UTF-8 cannot hold; U+FFFD stands for the half
 * - `collision`: in `_rest`, since another path of the file has the same dotted name
 * - `unnamed`: in `_rest`, since a name on its path is empty
 * - `too_many_columns`: in `_rest`, since the file had all its columns
 */
export type KeptReason = 'mixed' | 'not_exact' | 'array' | 'empty_object' | 'too_deep' | 'lone_surrogate' | RestReason

export type RestReason = 'collision' | 'unnamed' | 'too_many_columns'

/** Counts values by reason. */
export class KeptCounter {
  readonly #counts = new Map<KeptReason, number>()

  add(reason: KeptReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
  }

  counts(): Kept {
    return Object.fromEntries([...this.#counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
}
