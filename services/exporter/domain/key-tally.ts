import { hash } from 'node:crypto'

interface Tally {
  count: number
  /** Of hashes of names and sizes, XORed: the same for the same objects in any order. */
  high: number
  low: number
}

/**
 * Objects by group, as a number and a fingerprint each, so that what the manifests name and what the bucket lists can be
 * compared without holding either: two tallies differ in exactly the groups in which an object is missing, foreign, or of
 * another size. Takes memory by the group, not by the object.
 */
export class KeyTally {
  readonly #groups = new Map<string, Tally>()

  add(group: string, key: string, bytes: number): void {
    const digest = hash('sha256', `${bytes} ${key}`, 'buffer')
    const tally = this.#groups.get(group) ?? { count: 0, high: 0, low: 0 }
    tally.count += 1
    tally.high ^= digest.readInt32BE(0)
    tally.low ^= digest.readInt32BE(4)
    this.#groups.set(group, tally)
  }

  differing(other: KeyTally): ReadonlySet<string> {
    const groups = new Set([...this.#groups.keys(), ...other.#groups.keys()])
    const isSame = (group: string): boolean => {
      const [a, b] = [this.#groups.get(group), other.#groups.get(group)]
      return a?.count === b?.count && a?.high === b?.high && a?.low === b?.low
    }
    return new Set([...groups].filter((group) => !isSame(group)))
  }
}
