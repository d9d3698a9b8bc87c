import { diskBytes, STORED_BYTES } from './append-queue.ts'
import { appendedAtMsOf, encodeSparseChunk, entriesOf } from './chunk.ts'
import { endsOf, type EndsRow, type Store, type TopicRow } from './store.ts'

/** Chunks that one transaction may touch: the lock is for everybody. */
const CHUNKS_PER_WRITE = 64
/** A deletion is kept this long for followers that were away; like Kafka's `delete.retention.ms`. */
const TOMBSTONE_MS = 86_400_000
/** A compacted partition is gone through again when it has grown by this part of what it was, and by this many bytes. */
const GROWTH = 0.5
const GROWTH_BYTES_MIN = 256 << 10

/**
 * Applies retention and compaction to every topic. Several processes may do so at once. With `thorough`, compacts
 * whatever has changed at all.
 */
export async function sweep(store: Store, { nowMs, thorough }: { nowMs: number; thorough: boolean }): Promise<void> {
  store.forgetDeadReaders()
  store.refresh()
  for (const { key, value: topic } of Array.from(store.topics.getRange())) {
    if (key === undefined) continue
    for (let partition = 0; partition < topic.partitions; partition += 1) {
      if (!topic.compacted) await retain(store, topic, partition, nowMs)
      else if (isDirty(endsOf(store, topic.epoch, partition), thorough)) {
        await compact(store, topic.epoch, partition, nowMs)
      }
    }
  }
}

const isDirty = ({ end, bytes, cleanEnd, cleanBytes }: EndsRow, thorough: boolean): boolean =>
  end > cleanEnd && (thorough || bytes - cleanBytes >= Math.max(GROWTH_BYTES_MIN, cleanBytes * GROWTH))

/** Inside a transaction: notes what a partition has lost. */
function shrink(store: Store, epoch: string, partition: number, change: { bytes: number } & Partial<EndsRow>): void {
  const row = endsOf(store, epoch, partition)
  const { bytes, ...rest } = change
  store.ends.putSync([epoch, partition], { ...row, ...rest, bytes: row.bytes - bytes })
  store.counters.putSync(STORED_BYTES, (store.counters.get(STORED_BYTES) ?? 0) - bytes)
}

async function retain(store: Store, topic: TopicRow, partition: number, nowMs: number): Promise<void> {
  const { epoch } = topic
  const retentionMs = topic.retentionMs ?? Number.POSITIVE_INFINITY
  const retentionBytes = topic.retentionBytes ?? Number.POSITIVE_INFINITY
  if (retentionMs === Number.POSITIVE_INFINITY && retentionBytes === Number.POSITIVE_INFINITY) return
  for (;;) {
    const removed = await store.write(() => {
      const row = endsOf(store, epoch, partition)
      let { start, bytes } = row
      let count = 0
      const range = { start: [epoch, partition], end: [epoch, partition, row.end], limit: CHUNKS_PER_WRITE + 1 }
      const keys = [...store.chunks.getKeys(range)]
      for (const [i, key] of keys.slice(0, CHUNKS_PER_WRITE).entries()) {
        const chunk = store.chunks.getBinary(key)
        if (chunk === undefined) continue
        const size = diskBytes(chunk)
        const isOld = appendedAtMsOf(chunk) < nowMs - retentionMs
        // Never below the size that was asked for: the promise is to keep that much.
        if (!isOld && bytes - size < retentionBytes) break
        store.chunks.removeSync(key)
        bytes -= size
        count += 1
        start = keys[i + 1]?.[2] ?? row.end
      }
      if (count > 0) shrink(store, epoch, partition, { bytes: row.bytes - bytes, start })
      return count
    })
    if (removed < CHUNKS_PER_WRITE) return
  }
}

/** Where the newest record of each key is, by a snapshot of the partition. */
function newestOffsets(store: Store, epoch: string, partition: number, end: number): Map<string, number> {
  const newest = new Map<string, number>()
  for (const key of store.chunks.getKeys({ start: [epoch, partition], end: [epoch, partition, end] })) {
    const chunk = store.chunks.getBinary(key)
    if (chunk === undefined) continue
    for (const entry of entriesOf(chunk)) {
      newest.set((entry.key ?? Buffer.alloc(0)).toString('latin1'), key[2] + entry.distance)
    }
  }
  return newest
}

/**
 * Drops records whose key has a newer one. That stays true whatever is appended meanwhile, so the chunks may be
 * rewritten a few at a time. The place of what stays does not change.
 */
async function compact(store: Store, epoch: string, partition: number, nowMs: number): Promise<void> {
  const { end } = endsOf(store, epoch, partition)
  const newest = newestOffsets(store, epoch, partition, end)
  const keys = [...store.chunks.getKeys({ start: [epoch, partition], end: [epoch, partition, end] })]
  let oldestKept: number | undefined
  for (let i = 0; i < keys.length; i += CHUNKS_PER_WRITE) {
    oldestKept = await store.write(() => {
      let oldest = oldestKept
      let freed = 0
      for (const key of keys.slice(i, i + CHUNKS_PER_WRITE)) {
        const chunk = store.chunks.getBinary(key)
        if (chunk === undefined) continue // another process was here first
        const appendedAtMs = appendedAtMsOf(chunk)
        const entries = [...entriesOf(chunk)]
        const kept = entries.filter((entry) => {
          const isNewest = newest.get((entry.key ?? Buffer.alloc(0)).toString('latin1')) === key[2] + entry.distance
          return isNewest && (entry.value !== null || appendedAtMs > nowMs - TOMBSTONE_MS)
        })
        const first = kept[0]
        if (first !== undefined) oldest ??= key[2] + first.distance
        if (kept.length === entries.length) continue
        freed += diskBytes(chunk)
        if (kept.length === 0) {
          store.chunks.removeSync(key)
        } else {
          const rest = encodeSparseChunk(kept, appendedAtMs)
          store.chunks.putSync(key, rest)
          freed -= diskBytes(rest)
        }
      }
      if (freed > 0) shrink(store, epoch, partition, { bytes: freed })
      return oldest
    })
  }
  await store.write(() => {
    const row = endsOf(store, epoch, partition)
    store.ends.putSync([epoch, partition], {
      ...row,
      start: Math.max(row.start, oldestKept ?? end),
      cleanEnd: end,
      cleanBytes: row.bytes,
    })
  })
}
