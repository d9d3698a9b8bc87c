import type { KeyLimits } from '../shared/limits/domain/key-limits.ts'
import type { KeyKind } from '../shared/registry/model.ts'
import type { CatalogueSettings } from './catalogue.ts'
import type { ReadLimits } from '../shared/warehouse/port.ts'
import { DEFAULT_TAIL_SETTINGS, type TailSettings } from './tail/settings.ts'

export interface ExtractionSettings {
  /** Of an answer: events that it may go through, and that it may hold. */
  readonly scannedMax: number
  readonly eventsMax: number
  /** A caller that takes nothing for so long is cut off, in milliseconds: it keeps a query open in the warehouse. */
  readonly stallMs: number
  /** Of a job: events and bytes of its file, seconds that it may run. */
  readonly jobEventsMax: number
  readonly jobBytesMax: number
  readonly jobSeconds: number
  /** Jobs that run at once in this process. */
  readonly jobsRunningMax: number
  /** Bytes of all files together. */
  readonly filesBytesMax: number
  /** How long a file is kept and its link is good, in milliseconds. */
  readonly keptMs: number
}

export interface SavedSettings {
  /** Of one project. */
  readonly queriesMax: number
  /** What a refresh rate may be, besides 0, in seconds. */
  readonly refreshMinS: number
  readonly refreshMaxS: number
  /** Of a cached result's JSON text. */
  readonly resultBytesMax: number
  /** Refreshes that run at once in this process. */
  readonly refreshesMax: number
}

export interface DatasetSettings {
  /** How often datasets are refreshed, in seconds; 0: they are read from the events, and nothing is kept. */
  readonly refreshS: number
  /** Refreshes that run at once in this process. */
  readonly refreshesMax: number
  /** Of one refresh: values of all intervals, index values and groups. */
  readonly valuesMax: number
}

export interface QuerySettings {
  /** Ceilings of one query, by the kind of key that asks. */
  readonly limits: Readonly<Record<KeyKind, ReadLimits>>
  /** What a key may ask in a time, by its kind, unless its project or itself was given something else. */
  readonly keyLimits: Readonly<Record<KeyKind, KeyLimits>>
  /** Queries that run at once in this process, and those of one project, running and waiting. */
  readonly runningMax: number
  readonly perProjectMax: number
  /** How long a query waits for its turn before it is refused, in milliseconds. */
  readonly waitMs: number
  /** Memory for results that may be reused (`max_age`), in bytes. */
  readonly cacheBytesMax: number
  readonly extraction: ExtractionSettings
  readonly catalogue: CatalogueSettings
  /** Events that one DELETE may concern, with filters and without; 0 is no bound. */
  readonly deletedWithFiltersMax: number
  readonly deletedMax: number
  /** Of one project, those that were carried out long ago included. */
  readonly deletionsMax: number
  readonly saved: SavedSettings
  readonly datasets: DatasetSettings
  readonly tail: TailSettings
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
  keyLimits: { master: {}, read: {}, write: {}, access: {} },
  runningMax: 24,
  perProjectMax: 24,
  waitMs: 10_000,
  cacheBytesMax: 64 * 1_048_576,
  catalogue: { propertiesMax: 1_000, ageMs: 1_000 },
  deletedWithFiltersMax: 0,
  deletedMax: 0,
  deletionsMax: 10_000,
  extraction: {
    scannedMax: 1_000_000,
    eventsMax: 100_000,
    stallMs: 30_000,
    jobEventsMax: 10_000_000,
    jobBytesMax: 2_000_000_000,
    jobSeconds: 3_600,
    jobsRunningMax: 2,
    filesBytesMax: 20_000_000_000,
    keptMs: 30 * 86_400_000,
  },
  tail: DEFAULT_TAIL_SETTINGS,
  saved: {
    queriesMax: 1_000,
    refreshMinS: 14_400,
    refreshMaxS: 86_400,
    resultBytesMax: 8_000_000,
    refreshesMax: 2,
  },
  datasets: { refreshS: 3_600, refreshesMax: 2, valuesMax: 1_000_000 },
}
