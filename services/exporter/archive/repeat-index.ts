import { type Database, open, type RootDatabase } from 'lmdb'
import type { PartitionName } from '../domain/archive-key.ts'
import { decodeEntries, encodeEntries, type RepeatEntry } from '../domain/repeat-entries.ts'
import { lookUpFrom, rememberFrom, windowOf } from '../domain/repeat-windows.ts'

/** Entries that one transaction removes: it holds up everything else of the process meanwhile. */
const FORGOTTEN_AT_ONCE = 5_000
const WINDOW_DIGITS = 8

/**
 * What was kept of each partition in the last weeks, on this machine's disk, so that an event can be told from its
 * repeats without asking anybody. A cache: the archive itself holds what it is filled from (`fillRepeats`).
 */
export class RepeatIndex {
  readonly #root: RootDatabase<string, string>
  readonly #entries: Database<Buffer, Buffer>

  /** `folder` is this index's alone; several processes of one machine may share it. */
  constructor(folder: string) {
    this.#root = open({ path: folder, encoding: 'string' })
    this.#entries = this.#root.openDB<Buffer, Buffer>('entries', { encoding: 'binary', keyEncoding: 'binary' })
  }

  /** The offset up to which everything that was kept of the partition is here, but for what is too old to matter. */
  through(partition: PartitionName): bigint {
    return BigInt(this.#root.get(throughKey(partition)) ?? 0)
  }

  /**
   * Times of receipt of the kept events of that name whose offsets are below `before`: those that `lookUpFrom` an event
   * appended at `appendedMs`, whatever else is here, so that every machine gives the same answer.
   */
  keptBefore(partition: PartitionName, name: Buffer, appendedMs: number, before: bigint): readonly number[] {
    const times: number[] = []
    for (let window = lookUpFrom(appendedMs); window <= windowOf(appendedMs) + 1; window += 1) {
      const bytes = this.#entries.get(entryKey(partition, window, name))
      if (bytes === undefined) continue
      for (const { offset, createdAtMs } of decodeEntries(bytes) ?? []) if (offset < before) times.push(createdAtMs)
    }
    return times
  }

  /**
   * Adds what a range kept whose last record was appended at `appendedMs`; entries that are there already stay once.
   * Resolves when it is written, and when what is too old to matter to this partition is gone.
   */
  async add(partition: PartitionName, entries: readonly RepeatEntry[], appendedMs: number): Promise<void> {
    if (entries.length === 0) return
    await this.#root.transaction(() => {
      for (const entry of entries) {
        const key = entryKey(partition, windowOf(appendedMs), entry.name)
        const known = decodeEntries(this.#entries.get(key) ?? Buffer.alloc(0)) ?? []
        if (known.some(({ offset }) => offset === entry.offset)) continue
        void this.#entries.put(key, encodeEntries([...known, entry]))
      }
    })
    await this.#forget(partition, rememberFrom(appendedMs))
  }

  /** Says that everything that was kept of the partition below `through` has been added. */
  async reach(partition: PartitionName, through: bigint): Promise<void> {
    await this.#root.transaction(() => {
      if (through > this.through(partition)) void this.#root.put(throughKey(partition), String(through))
    })
  }

  async close(): Promise<void> {
    await this.#root.close()
  }

  async #forget(partition: PartitionName, from: number): Promise<void> {
    const nothing = Buffer.alloc(0)
    const range = { start: entryKey(partition, 0, nothing), end: entryKey(partition, from, nothing) }
    for (let removed = FORGOTTEN_AT_ONCE; removed === FORGOTTEN_AT_ONCE; ) {
      if ([...this.#entries.getKeys({ ...range, limit: 1 })].length === 0) return
      removed = await this.#root.transaction(() => {
        const old = [...this.#entries.getKeys({ ...range, limit: FORGOTTEN_AT_ONCE })]
        for (const key of old) void this.#entries.remove(key)
        return old.length
      })
    }
  }
}

const throughKey = ({ epoch, partition }: PartitionName): string => `through/${epoch}/${partition}`
const entryKey = ({ epoch, partition }: PartitionName, window: number, name: Buffer): Buffer => {
  const text = `${epoch}/${partition}/${String(Math.max(0, window)).padStart(WINDOW_DIGITS, '0')}/`
  const key = Buffer.allocUnsafe(text.length + name.length)
  key.write(text, 'latin1')
  name.copy(key, text.length)
  return key
}
