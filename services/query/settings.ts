import type { KeyKind } from '../shared/registry/model.ts'
import type { ReadLimits } from '../shared/warehouse/port.ts'

export interface QuerySettings {
  /** Ceilings of one query, by the kind of key that asks. */
  readonly limits: Readonly<Record<KeyKind, ReadLimits>>
  /** Queries that run at once in this process, and those of one project, running and waiting. */
  readonly runningMax: number
  readonly perProjectMax: number
  /** How long a query waits for its turn before it is refused, in milliseconds. */
  readonly waitMs: number
}

const READ_LIMITS: ReadLimits = {
  executionS: 300,
  rowsToRead: 1_000_000_000,
  memoryBytes: 4 * 1024 ** 3,
  resultRows: 1_000_000,
  resultBytes: 150_000_000,
}

/** Figures of the Keen API where it has them; an access key, which is given to customers, gets less of the machine. */
export const DEFAULT_QUERY_SETTINGS: QuerySettings = {
  limits: {
    master: READ_LIMITS,
    read: READ_LIMITS,
    write: READ_LIMITS,
    access: { ...READ_LIMITS, executionS: 60, rowsToRead: 100_000_000, memoryBytes: 1024 ** 3 },
  },
  runningMax: 24,
  perProjectMax: 24,
  waitMs: 10_000,
}
