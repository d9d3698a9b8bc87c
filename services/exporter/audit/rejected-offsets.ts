import type { EventLog } from '../../shared/log/port.ts'
import { DEAD_LETTER_TOPIC } from '../../shared/log/topics.ts'
import type { PartitionName } from '../domain/archive-key.ts'

/** Offsets of events that the warehouse did not take, by partition. */
export type RejectedOffsets = (partition: PartitionName) => ReadonlySet<bigint>

const NONE: ReadonlySet<bigint> = new Set()
const nameOf = ({ epoch, partition }: PartitionName): string => `${epoch}/${partition}`

/** Reads the dead-letter topic once, from its start to where it ends now. Rejects as the log does. */
export async function readRejected(log: Pick<EventLog, 'follow'>, signal: AbortSignal): Promise<RejectedOffsets> {
  const found = new Map<string, Set<bigint>>()
  const stop = new AbortController()
  const { caughtUp, done } = log.follow(
    DEAD_LETTER_TOPIC,
    ({ value }) => {
      const letter = parsed(value)
      if (letter?.reason !== 'warehouse_rejected') return
      const offsets = found.get(nameOf(letter)) ?? new Set()
      offsets.add(BigInt(letter.offset))
      found.set(nameOf(letter), offsets)
    },
    AbortSignal.any([signal, stop.signal]),
  )
  try {
    await caughtUp
  } finally {
    stop.abort()
    await done.catch(() => undefined) // what broke off is told by `caughtUp`
  }
  return (partition) => found.get(nameOf(partition)) ?? NONE
}

interface Letter extends PartitionName {
  readonly reason: string
  readonly offset: string
}

function parsed(value: Buffer | null): Letter | undefined {
  try {
    const letter = JSON.parse(String(value)) as Partial<Letter>
    const { reason, epoch, partition, offset } = letter
    if (reason === undefined || epoch === undefined || partition === undefined || offset === undefined) return undefined
    return { reason, epoch, partition, offset }
  } catch {
    return undefined
  }
}
