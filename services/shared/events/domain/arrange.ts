import type { LoggedEvent } from '../event.ts'

/** An event, and whatever its caller knows beside it. */
interface WithEvent {
  readonly event: LoggedEvent
}

/** An insert must stay below the server's 100 partitions, and in one block (1,048,576 rows, 256 MB), to be dropped whole. */
const MONTHS_MAX = 90
const ROWS_MAX = 500_000
const BYTES_MAX = 128 * 1024 * 1024

const monthOf = (ms: number): number => {
  const date = new Date(ms)
  return date.getUTCFullYear() * 12 + date.getUTCMonth()
}

/**
 * Events in the order of the table's key (project, collection, timestamp; equal ones by offset): rows of a collection
 * in one stretch load several times faster into the JSON column than mixed ones. Input is in offset order.
 */
export function sortForTable<T extends WithEvent>(events: readonly T[]): readonly T[] {
  const groups = new Map<string, T[]>()
  for (const item of events) {
    const name = `${item.event.project}/${item.event.collection}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [item])
    else group.push(item)
  }
  const names = [...groups.keys()].toSorted()
  return names.flatMap((name) => groups.get(name)?.toSorted((a, b) => a.event.timestampMs - b.event.timestampMs) ?? [])
}

/**
 * Cuts events into the fewest parts an insert can take, by a rule that depends on them alone, so that a replay cuts at
 * the same places. `timeOf` gives the time that the target table is partitioned by. Nearly always one part.
 */
export function splitForInserts<T extends WithEvent>(
  events: readonly T[],
  timeOf: (item: T) => number,
): readonly (readonly T[])[] {
  const months = new Set(events.map((item) => monthOf(timeOf(item))))
  const ordered = [...months].toSorted((a, b) => a - b)
  const groupOf = new Map(ordered.map((month, index) => [month, Math.floor(index / MONTHS_MAX)]))
  const parts: T[][] = []
  for (let group = 0; group * MONTHS_MAX < ordered.length; group += 1) {
    let part: T[] = []
    let bytes = 0
    for (const item of events) {
      if (ordered.length > MONTHS_MAX && groupOf.get(monthOf(timeOf(item))) !== group) continue
      const size = item.event.properties.length
      if (part.length >= ROWS_MAX || (bytes + size > BYTES_MAX && part.length > 0)) {
        parts.push(part)
        part = []
        bytes = 0
      }
      part.push(item)
      bytes += size
    }
    if (part.length > 0) parts.push(part)
  }
  return parts
}
