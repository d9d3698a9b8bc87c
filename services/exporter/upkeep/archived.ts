import type { EventLog } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import { EXPORTER_GROUP } from '../worker.ts'

/** Where partitions that have records end, by their numbers. */
export type Ends = ReadonlyMap<number, bigint>

/** Rejects as the log does. */
export async function endsOf(log: Pick<EventLog, 'ends'>): Promise<Ends> {
  const all = await log.ends(EVENTS_TOPIC)
  return new Map(all.flatMap(({ partition, start, end }) => (end > start ? [[partition, end] as const] : [])))
}

/** Whether the archive has everything before these ends. Rejects as the log does. */
export async function isArchivedTo(log: Pick<EventLog, 'committed'>, ends: Ends): Promise<boolean> {
  const committed = await log.committed(EVENTS_TOPIC, EXPORTER_GROUP)
  return [...ends].every(([partition, end]) => (committed.get(partition)?.offset ?? 0n) >= end)
}

/** Tells whether the archive has come up to where the log was at a time; of times that only go on. */
export function archivedSince(
  log: Pick<EventLog, 'committed' | 'ends'>,
  now: () => number,
): (beforeMs: number) => Promise<boolean> {
  let fence: { readonly atMs: number; readonly ends: Ends } | undefined
  return async (beforeMs) => {
    if (fence === undefined || fence.atMs < beforeMs) fence = { atMs: now(), ends: await endsOf(log) }
    return isArchivedTo(log, fence.ends)
  }
}
