import { type Database, open, type RootDatabase } from 'lmdb'
import { REPEAT_WINDOW_MS } from '../../shared/events/event.ts'
import type { PartitionName } from '../domain/archive-key.ts'
import { decodeEntries, encodeEntries, type RepeatEntry } from '../domain/repeat-entries.ts'

/** Windows of time whose entries are kept: the newest one and those that an event in it may repeat, and one to spare. */
const WINDOWS_KEPT = 3

/**
 * What was kept of each partition in the last weeks, on this machine's disk, so that an event can be told from its
 * repeats without asking anybody. A cache: the archive itself holds what it is filled from (`fillRepeats`).
 */
export class RepeatIndex {
  readonly #root: RootDatabase<string, string>
  readonly #windows = new Map<number, Database<Buffer, Buffer>>()

  /** `folder` is this index's alone; several processes of one machine may share it. */
  constructor(folder: string) {
    this.#root = open({ path: folder, encoding: 'string', maxDbs: 64 })
    for (const name of this.#root.getKeys()) {
      if (typeof name === 'string' && name.startsWith('w')) this.#window(Number(name.slice(1)))
    }
  }

  /** The offset up to which everything that was kept of the partition is here. */
  through(partition: PartitionName): bigint {
    return BigInt(this.#root.get(partitionKey(partition)) ?? 0)
  }

  /** Times of receipt of the kept events of that name whose offsets are below `before`. */
  keptBefore(partition: PartitionName, name: Buffer, createdAtMs: number, before: bigint): readonly number[] {
    const key = entryKey(partition, name)
    const window = windowOf(createdAtMs)
    return [window - 1, window, window + 1].flatMap((one) => {
      const bytes = this.#windows.get(one)?.get(key)
      const entries = bytes === undefined ? [] : (decodeEntries(bytes) ?? [])
      return entries.filter(({ offset }) => offset < before).map((entry) => entry.createdAtMs)
    })
  }

  /** Adds what was kept below `through`; entries that are there already stay once. Resolves when it is on the disk. */
  async add(partition: PartitionName, entries: readonly RepeatEntry[], through: bigint): Promise<void> {
    for (const { createdAtMs } of entries) this.#window(windowOf(createdAtMs))
    await this.#root.transaction(() => {
      for (const entry of entries) {
        const db = this.#window(windowOf(entry.createdAtMs))
        const key = entryKey(partition, entry.name)
        const known = decodeEntries(db.get(key) ?? Buffer.alloc(0)) ?? []
        if (known.some(({ offset }) => offset === entry.offset)) continue
        void db.put(key, encodeEntries([...known, entry]))
      }
      if (through > this.through(partition)) void this.#root.put(partitionKey(partition), String(through))
    })
    await this.#forgetOld()
  }

  async close(): Promise<void> {
    await this.#root.close()
  }

  #window(window: number): Database<Buffer, Buffer> {
    let db = this.#windows.get(window)
    if (db === undefined) {
      db = this.#root.openDB<Buffer, Buffer>(`w${window}`, { encoding: 'binary', keyEncoding: 'binary' })
      this.#windows.set(window, db)
    }
    return db
  }

  async #forgetOld(): Promise<void> {
    const newest = Math.max(...this.#windows.keys())
    for (const [window, db] of this.#windows) {
      if (window > newest - WINDOWS_KEPT) continue
      this.#windows.delete(window)
      await db.drop()
    }
  }
}

const windowOf = (ms: number): number => Math.floor(ms / REPEAT_WINDOW_MS)
const partitionKey = ({ epoch, partition }: PartitionName): string => `p/${epoch}/${partition}`
const entryKey = (partition: PartitionName, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${partition.epoch}/${partition.partition}/`), name])
