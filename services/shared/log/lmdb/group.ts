import { AppError } from '../../errors.ts'
import { balance } from './balance.ts'
import type { MemberRow, OffsetRow, Store } from './store.ts'
import type { CommittedOffset } from '../port.ts'

/** One member of one consumer group of one topic, as it stands in the store. */
export interface Membership {
  readonly epoch: string
  readonly group: string
  readonly member: string
  readonly partitions: number
  readonly sessionTimeoutMs: number
}

export interface HeldPartition {
  readonly generation: number
  /** Its handler has returned, or has had long enough: the partition is given back. */
  readonly over: boolean
}

export interface TickResult {
  /** Changes whenever members or owners do. */
  readonly version: number
  readonly taken: readonly { partition: number; generation: number; committed: CommittedOffset }[]
  /** Held so far as this process knows, and not any more. */
  readonly lost: readonly number[]
  /** Another member is to have these. */
  readonly release: readonly number[]
}

const METADATA_BYTES_MAX = 4_096

/** A clock that every process of a machine shares and nobody can set: leases are compared across processes. */
const machineMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)

/** After a restart of the machine its clock starts again; a lease from before is further away than a lease can be. */
const isLive = ({ expiresAtMs, sessionTimeoutMs }: MemberRow, nowMs: number): boolean =>
  nowMs < expiresAtMs && expiresAtMs <= nowMs + sessionTimeoutMs

const counterKey = (name: string, { epoch, group }: { epoch: string; group: string }): string[] => [name, epoch, group]

export const groupVersion = (store: Store, of: { epoch: string; group: string }): number =>
  store.counters.get(counterKey('group-version', of)) ?? 0

const toCommitted = (row: OffsetRow | undefined): CommittedOffset => ({
  offset: BigInt(row?.offset ?? 0),
  metadata: row?.metadata ?? '',
})

/**
 * One heartbeat: renews this member's lease, buries the dead, gives back what is over, and takes what is due.
 * A partition's owner is a row with a generation that grows with every change of hands; only its holder may commit.
 */
export function tick(
  store: Store,
  me: Membership,
  held: ReadonlyMap<number, HeldPartition>,
  { taking, avoid }: { readonly taking: boolean; readonly avoid: ReadonlySet<number> },
): Promise<TickResult> {
  return store.write(() => {
    const { epoch, group } = me
    const nowMs = machineMs()
    let changed = false

    const myKey: [string, string, string] = [epoch, group, me.member]
    if (!store.members.doesExist(myKey)) changed = true
    store.members.putSync(myKey, { expiresAtMs: nowMs + me.sessionTimeoutMs, sessionTimeoutMs: me.sessionTimeoutMs })

    const members: string[] = []
    for (const { key, value } of Array.from(store.members.getRange(prefix(epoch, group)))) {
      if (isLive(value, nowMs)) {
        members.push(key[2])
      } else {
        store.members.removeSync(key)
        changed = true
      }
    }
    const alive = new Set(members)
    const owners = new Map<number, string>()
    const lost = new Set(held.keys())
    for (const { key, value } of Array.from(store.claims.getRange(prefix(epoch, group)))) {
      const partition = key[2]
      const own = value.member === me.member ? held.get(partition) : undefined
      const mine = own !== undefined && own.generation === value.generation
      if (!alive.has(value.member) || (mine && own.over)) {
        store.claims.removeSync(key)
        changed = true
      } else {
        owners.set(partition, value.member)
        if (mine) lost.delete(partition)
      }
    }
    for (const [partition, { over }] of held) if (over) lost.delete(partition)

    const due = balance({ members, me: me.member, partitions: me.partitions, owners, avoid })
    const taken = (taking ? due.take : []).map((partition) => {
      changed = true
      const generation = (store.counters.get(counterKey('generation', me)) ?? 0) + 1
      store.counters.putSync(counterKey('generation', me), generation)
      store.claims.putSync([epoch, group, partition], { member: me.member, generation })
      return { partition, generation, committed: toCommitted(store.offsets.get([epoch, group, partition])) }
    })
    const version = groupVersion(store, me) + (changed ? 1 : 0)
    if (changed) store.counters.putSync(counterKey('group-version', me), version)
    return { version, taken, lost: [...lost], release: due.release }
  })
}

const prefix = (epoch: string, group: string) => ({ start: [epoch, group], end: [epoch, group, AFTER_ANY] })
/** Sorts after every member id and partition number. */
const AFTER_ANY = '\uffff'

/** Leaves at once: what this member held is free. */
export function leave(store: Store, me: Membership): Promise<void> {
  return store.write(() => {
    const { epoch, group } = me
    for (const { key, value } of Array.from(store.claims.getRange(prefix(epoch, group)))) {
      if (value.member === me.member) store.claims.removeSync(key)
    }
    store.members.removeSync([epoch, group, me.member])
    store.counters.putSync(counterKey('group-version', me), groupVersion(store, me) + 1)
  })
}

/** As `PartitionClaim.commit`: the owner is checked in the transaction that writes. */
export async function commitOffset(
  store: Store,
  me: Membership,
  claim: { readonly partition: number; readonly generation: number },
  { offset, metadata }: CommittedOffset,
): Promise<void> {
  if (Buffer.byteLength(metadata) > METADATA_BYTES_MAX) {
    throw new AppError('LOG_REJECTED', 'offset metadata is too long', { details: { bytesMax: METADATA_BYTES_MAX } })
  }
  const key: [string, string, number] = [me.epoch, me.group, claim.partition]
  await store.write(() => {
    const owner = store.claims.get(key)
    if (owner?.member !== me.member || owner.generation !== claim.generation) throw fenced(me.group, claim.partition)
    store.offsets.putSync(key, { offset: Number(offset), metadata })
  })
}

export const fenced = (group: string, partition: number): AppError =>
  new AppError('LOG_FENCED', 'the partition belongs to somebody else now', { details: { group, partition } })

export function committedOffsets(store: Store, epoch: string, group: string): ReadonlyMap<number, CommittedOffset> {
  const all = new Map<number, CommittedOffset>()
  for (const { key, value } of store.offsets.getRange(prefix(epoch, group))) all.set(key[2], toCommitted(value))
  return all
}
