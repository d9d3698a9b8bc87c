import { AppError } from '../../services/shared/errors.ts'
import type {
  ClaimHandler,
  CommittedOffset,
  ConsumeOptions,
  EventLog,
  LogMessage,
  LogRecord,
} from '../../services/shared/log/port.ts'

/**
 * Called around everything that a process does to the outside: `before` it happens and `after` it has. It may wait
 * (a frozen process), or throw: the process crashed, or the answer was lost.
 */
export type Step = (label: string) => Promise<void>

/** What survives every process: the records, the dead letters and the group's commits. */
export class MemoryLogState {
  readonly epoch = 'epoch-1'
  readonly partitions: LogRecord[][]
  readonly deadLetters: LogMessage[] = []
  readonly committed: CommittedOffset[]
  readonly owners: number[]
  /** Records below these offsets are gone: retention took them. */
  readonly starts: bigint[]
  /** Ends the claim that is there now, when another process takes the partition. */
  readonly takeAway: (() => void)[] = []

  /** `appendedAtMs`: by partition and index; the log's clock stands still unless it is said. */
  constructor(
    values: readonly (readonly (Buffer | null)[])[],
    appendedAtMs: (partition: number, index: number) => number = () => 0,
  ) {
    this.partitions = values.map((list, partition) =>
      // Offsets have gaps, as those of a real log may.
      list.map((value, index) => ({
        partition,
        offset: BigInt(index * 2),
        key: null,
        value,
        appendedAtMs: appendedAtMs(partition, index),
      })),
    )
    this.committed = values.map(() => ({ offset: 0n, metadata: '' }))
    this.owners = values.map(() => 0)
    this.starts = values.map(() => 0n)
  }

  isDone(): boolean {
    return this.committed.every(({ offset, metadata }, partition) => {
      const last = this.partitions[partition]?.at(-1)?.offset
      return metadata === '' && (last === undefined || offset > last)
    })
  }
}

const unused = async (): Promise<never> => {
  throw new Error('the loader does not use this')
}

/** One process's handle. `consume` takes every partition, also from a process that still believes it holds them. */
export function openMemoryLog(state: MemoryLogState, step: Step): EventLog {
  const consume = async ({ topic, signal }: ConsumeOptions, handler: ClaimHandler): Promise<void> => {
    const lost = new AbortController()
    const either = AbortSignal.any([signal, lost.signal])
    const claims = state.partitions.map(async (records, partition) => {
      state.owners[partition] = (state.owners[partition] ?? 0) + 1
      const generation = state.owners[partition]
      state.takeAway[partition]?.()
      const taken = new AbortController()
      state.takeAway[partition] = () => taken.abort()
      const committed = state.committed[partition] ?? { offset: 0n, metadata: '' }
      let position = committed.offset
      try {
        await handler({
          topic,
          partition,
          epoch: state.epoch,
          committed,
          signal: AbortSignal.any([either, taken.signal]),
          async read({ maxRecords }) {
            const start = state.starts[partition] ?? 0n
            const from = position > start ? position : start
            const more = records.filter((record) => record.offset >= from).slice(0, maxRecords)
            position = (more.at(-1)?.offset ?? position - 1n) + 1n
            if (more.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
            return more
          },
          async commit(offset, metadata = '') {
            await step(`before commit ${metadata === '' ? 'end' : 'intent'}`)
            if (state.owners[partition] !== generation) throw new AppError('LOG_FENCED', 'somebody else has it')
            state.committed[partition] = { offset, metadata }
            await step(`after commit ${metadata === '' ? 'end' : 'intent'}`)
          },
        })
      } catch (error) {
        lost.abort()
        throw error
      }
    })
    const failed = (await Promise.allSettled(claims)).find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
  return {
    kind: 'lmdb',
    consume,
    async append(_topic, messages) {
      await step('before dead letters')
      state.deadLetters.push(...messages)
      await step('after dead letters')
      return new Map()
    },
    ends: async () =>
      state.partitions.map((records, partition) => ({
        partition,
        start: state.starts[partition] ?? 0n,
        end: (records.at(-1)?.offset ?? -1n) + 1n,
      })),
    ensureTopics: unused,
    describe: unused,
    follow: () => ({ caughtUp: unused(), done: unused() }),
    committed: unused,
    ping: unused,
    close: async () => undefined,
  }
}
