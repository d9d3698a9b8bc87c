import { hash } from 'node:crypto'
import type { ArchivedObject } from './manifest.ts'

interface Tally {
  count: number
  /** Of hashes of names and sizes, XORed: the same for the same objects in any order. */
  high: number
  low: number
  /** Of all objects; of merged files, those that a manifest has something to say of. */
  covered: number
}

/**
 * Objects by group, as a number and a fingerprint each, so that what the manifests name and what the bucket lists can be
 * compared without holding either: two tallies differ in exactly the groups in which an object is missing, foreign, of
 * another size, or has bytes that no manifest tells of. Takes memory by the group, not by the object.
 */
export class KeyTally {
  readonly #groups = new Map<string, Tally>()

  /** An object as the bucket has it. */
  add(group: string, key: string, bytes: number): void {
    this.#name(group, key, bytes)
    this.#tally(group).covered += bytes
  }

  /** What a manifest says of an object. Of a merged file, the one that says of its first bytes stands for the file. */
  addNamed(group: string, object: Pick<ArchivedObject, 'key' | 'bytes' | 'at' | 'file_bytes'>): void {
    const { key, bytes, at = 0, file_bytes: fileBytes = bytes } = object
    if (at === 0) this.#name(group, key, fileBytes)
    this.#tally(group).covered += bytes
  }

  #name(group: string, key: string, bytes: number): void {
    const digest = hash('sha256', `${bytes} ${key}`, 'buffer')
    const tally = this.#tally(group)
    tally.count += 1
    tally.high ^= digest.readInt32BE(0)
    tally.low ^= digest.readInt32BE(4)
  }

  #tally(group: string): Tally {
    const tally = this.#groups.get(group) ?? { count: 0, high: 0, low: 0, covered: 0 }
    this.#groups.set(group, tally)
    return tally
  }

  differing(other: KeyTally): ReadonlySet<string> {
    const groups = new Set([...this.#groups.keys(), ...other.#groups.keys()])
    const isSame = (group: string): boolean => {
      const [a, b] = [this.#groups.get(group), other.#groups.get(group)]
      return a?.count === b?.count && a?.high === b?.high && a?.low === b?.low && a?.covered === b?.covered
    }
    return new Set([...groups].filter((group) => !isSame(group)))
  }
}
