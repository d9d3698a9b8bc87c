import { mkdirSync, realpathSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { open, type Database, type RootDatabase } from 'lmdb'
import { AppError } from '../../errors.ts'

export interface TopicRow {
  readonly partitions: number
  readonly compacted: boolean
  readonly retentionMs: number | null
  readonly retentionBytes: number | null
  readonly epoch: string
}

export interface EndsRow {
  readonly start: number
  readonly end: number
  /** What the partition's chunks take on disk, in bytes. */
  readonly bytes: number
  /** Compacted topics: `bytes` and `end` when the partition was last compacted. */
  readonly cleanBytes: number
  readonly cleanEnd: number
}

export const EMPTY_ENDS: EndsRow = { start: 0, end: 0, bytes: 0, cleanBytes: 0, cleanEnd: 0 }

export interface OffsetRow {
  readonly offset: number
  readonly metadata: string
}

export interface MemberRow {
  readonly expiresAtMs: number
  readonly sessionTimeoutMs: number
}

export interface ClaimRow {
  readonly member: string
  readonly generation: number
}

/** Everything here is below a topic's epoch, so that a topic made again starts from nothing. */
export type PartitionKey = [epoch: string, partition: number]
export type ChunkKey = [epoch: string, partition: number, base: number]
export type GroupKey = [epoch: string, group: string, member: string]
export type GroupPartitionKey = [epoch: string, group: string, partition: number]

/** One LMDB environment: the rows of a log, and news of changes to them by any process. */
export interface Store {
  readonly folder: string
  readonly topics: Database<TopicRow, string>
  readonly ends: Database<EndsRow, PartitionKey>
  readonly chunks: Database<Buffer, ChunkKey>
  readonly offsets: Database<OffsetRow, GroupPartitionKey>
  readonly members: Database<MemberRow, GroupKey>
  readonly claims: Database<ClaimRow, GroupPartitionKey>
  /** Numbers by name: bytes stored, group versions, the pulse of `ping`. */
  readonly counters: Database<number, string[]>
  /**
   * Runs `change` in a write transaction and resolves once that is on disk. `change` throws before its first write or
   * not at all: other changes may share the transaction. Rejects with what `change` threw when that is an AppError,
   * otherwise with LOG_UNAVAILABLE, and then it is unknown whether the change was made.
   */
  write<T>(change: () => T): Promise<T>
  /** Calls `listener` after every change by this process, and within 50 ms of one by another. Returns its end. */
  onChange(listener: () => void): () => void
  /** Calls the listeners of this process now, for a change that is not in the store. */
  announce(): void
  /** Reads from here on see everything that any process has committed so far. */
  refresh(): void
  /** Forgets readers that died without leaving: they would keep old pages from being used again. */
  forgetDeadReaders(): void
  release(): Promise<void>
}

const POLL_MS = 50
/** Address space, not memory or disk: growing a map that several processes share is best never needed. */
const MAP_BYTES = 2 ** 40

/**
 * LMDB must not have one file open twice in a process, and two handles of one thread would wait for each other's
 * transactions; so handles on one folder share an environment.
 */
const opened = new Map<string, { readonly store: Store; users: number }>()

/** Opens, or shares, the environment in `folder`, which is made when it is missing. Rejects with LOG_UNAVAILABLE. */
export function openStore(folder: string): Store {
  try {
    mkdirSync(folder, { recursive: true })
    const path = realpathSync(folder)
    let entry = opened.get(path)
    if (entry === undefined) {
      entry = { store: createStore(path), users: 0 }
      opened.set(path, entry)
    }
    entry.users += 1
    return entry.store
  } catch (error) {
    throw unavailable('the log’s folder cannot be opened', error)
  }
}

const unavailable = (what: string, cause: unknown): AppError => new AppError('LOG_UNAVAILABLE', what, { cause })

/** lmdb reports a failed commit as an error that carries a promise, which is rejected with the reason if it is known. */
async function reasonOf(thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof Error) || !('commitError' in thrown)) return thrown
  try {
    await Promise.race([thrown.commitError, setImmediate()])
    return thrown
  } catch (reason) {
    return reason
  }
}

function createStore(path: string): Store {
  const root: RootDatabase = open({
    path,
    maxDbs: 8,
    mapSize: MAP_BYTES,
    // A commit is on disk before anybody can see it: a reader that acted on a record which a power cut then takes
    // back would meet another record under the same offset.
    overlappingSync: false,
    // Only whole transactions are used; the batches of a turn come with a promise of their own that nobody holds, and
    // its rejection, when a commit fails, would end the process.
    eventTurnBatching: false,
  })
  const listeners = new Set<() => void>()
  let poll: NodeJS.Timeout | undefined
  let seenTxn = 0

  const lastTxn = (): number => {
    const stats: { lastTxnId?: number } = root.getStats()
    return stats.lastTxnId ?? 0
  }
  const tell = (): void => {
    root.resetReadTxn()
    for (const listener of Array.from(listeners)) listener()
  }
  const look = (): void => {
    const txn = lastTxn()
    if (txn === seenTxn) return
    seenTxn = txn
    tell()
  }

  return {
    folder: path,
    topics: root.openDB({ name: 'topics' }),
    ends: root.openDB({ name: 'ends' }),
    chunks: root.openDB({ name: 'chunks', encoding: 'binary' }),
    offsets: root.openDB({ name: 'offsets' }),
    members: root.openDB({ name: 'members' }),
    claims: root.openDB({ name: 'claims' }),
    counters: root.openDB({ name: 'counters' }),
    async write(change) {
      try {
        const result = await root.transaction(change)
        tell()
        return result
      } catch (error) {
        if (error instanceof AppError) throw error
        throw unavailable('the log did not confirm a write', await reasonOf(error))
      }
    },
    onChange(listener) {
      if (listeners.size === 0) {
        seenTxn = lastTxn()
        poll = setInterval(look, POLL_MS)
      }
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) clearInterval(poll)
      }
    },
    announce: tell,
    refresh: () => root.resetReadTxn(),
    forgetDeadReaders() {
      root.readerCheck()
    },
    async release() {
      const entry = opened.get(path)
      if (entry === undefined) return
      entry.users -= 1
      if (entry.users > 0) return
      opened.delete(path)
      clearInterval(poll)
      await root.close()
    },
  }
}

/** The newest version of a partition's ends. */
export const endsOf = (store: Store, epoch: string, partition: number): EndsRow =>
  store.ends.get([epoch, partition]) ?? EMPTY_ENDS

/** Resolves once `ready` holds, `timeoutMs` have passed, or `signal` aborts, whichever comes first. */
export function waitFor(
  store: Store,
  ready: () => boolean,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      clearTimeout(timer)
      forget()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const check = (): void => {
      try {
        if (signal.aborted || ready()) finish()
      } catch (error) {
        finish()
        reject(error instanceof Error ? error : new Error('a wait failed', { cause: error }))
      }
    }
    const timer = setTimeout(finish, Math.min(timeoutMs, 2 ** 31 - 1))
    const forget = store.onChange(check)
    signal.addEventListener('abort', finish, { once: true })
    check() // after listening, so that no change falls between
  })
}
