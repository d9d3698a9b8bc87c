/** How a group shares a topic's partitions: evenly, and moving no more of them than that takes. */

export interface Balance {
  /** Free partitions that this member takes. */
  readonly take: readonly number[]
  /** Partitions of this member that it has to let go. */
  readonly release: readonly number[]
}

export interface GroupView {
  /** Live members, this one included. */
  readonly members: readonly string[]
  readonly me: string
  readonly partitions: number
  /** Who holds what; a partition that is left out is free. */
  readonly owners: ReadonlyMap<number, string>
  /** Free partitions that this member may not take: it still works on them from before, or has just returned them. */
  readonly avoid: ReadonlySet<number>
}

/**
 * Everybody has the same share, give or take one; the larger shares go to those who already hold the most, so that
 * a balanced group stays as it is. Every member computes this from the same rows inside a write transaction.
 */
export function balance({ members, me, partitions, owners, avoid }: GroupView): Balance {
  const held = new Map<string, number>(members.map((member) => [member, 0]))
  const mine: number[] = []
  const free: number[] = []
  for (let partition = 0; partition < partitions; partition += 1) {
    const owner = owners.get(partition)
    if (owner === undefined) free.push(partition)
    else held.set(owner, (held.get(owner) ?? 0) + 1)
    if (owner === me) mine.push(partition)
  }
  const byLoad = [...members].toSorted(
    (a, b) => (held.get(b) ?? 0) - (held.get(a) ?? 0) || (a < b ? -1 : Number(a > b)),
  )
  const share = Math.floor(partitions / members.length)
  const larger = partitions % members.length
  const target = share + (byLoad.indexOf(me) < larger ? 1 : 0)
  return {
    take: free.filter((partition) => !avoid.has(partition)).slice(0, Math.max(target - mine.length, 0)),
    release: mine.slice(Math.min(target, mine.length)),
  }
}
