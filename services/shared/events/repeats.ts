import { type LoggedEvent, REPEAT_WINDOW_MS } from './event.ts'

/** Names the events that can be repeats of each other: one project, one collection, one repeat key. */
export const repeatName = (project: string, collection: string, repeatKeyHex: string): string =>
  `${project}/${collection}/${repeatKeyHex}`

/**
 * Which events of a range are repeats. `keptBefore` gives, by repeat name, the times of receipt (`createdAtMs`) of the
 * events that were kept before the range; it is asked for names of the range alone. Events come in the order of their
 * offsets, and those of one name share a partition.
 *
 * The rule, for every reader of the log: an event is dropped when an earlier one of its name was kept and received
 * within `REPEAT_WINDOW_MS` of it. A dropped event does not lengthen the window of the one that was kept.
 * Returns one boolean an event: true for a repeat.
 */
export function findRepeats(
  events: readonly LoggedEvent[],
  keptBefore: ReadonlyMap<string, readonly number[]>,
): readonly boolean[] {
  const keptHere = new Map<string, number[]>()
  return events.map((event) => {
    if (event.repeatKey === null) return false
    const name = repeatName(event.project, event.collection, event.repeatKey.toString('hex'))
    const isNear = (keptMs: number): boolean => Math.abs(event.createdAtMs - keptMs) <= REPEAT_WINDOW_MS
    if (keptBefore.get(name)?.some(isNear) === true) return true
    const kept = keptHere.get(name)
    if (kept?.some(isNear) === true) return true
    if (kept === undefined) keptHere.set(name, [event.createdAtMs])
    else kept.push(event.createdAtMs)
    return false
  })
}
