export interface LoaderSettings {
  /** A batch closes when it has this many records, */
  readonly batchRowsMax: number
  /** or this many bytes of them, */
  readonly batchBytesMax: number
  /** or this long after its first record was read. */
  readonly batchAgeMs: number
  /** Batches in memory over all partitions, each of at most `batchBytesMax` and its rows. At least 2. */
  readonly batchesMax: number
  /**
   * How long an effect may go on after its intent was committed or confirmed. Far below the time that the warehouse
   * remembers tokens, and long enough for one insert.
   */
  readonly effectMs: number
  /** How long a batch that was begun may still take when the loader is asked to stop. */
  readonly drainMs: number
  readonly retryDelayMs: number
  readonly retryDelayMaxMs: number
}

/** Half a kilobyte an event: about 400 MiB resident at the most, with every partition behind. */
export const LOADER_DEFAULTS: LoaderSettings = {
  batchRowsMax: 25_000,
  batchBytesMax: 16 * 1024 * 1024,
  batchAgeMs: 500,
  batchesMax: 2,
  effectMs: 60_000,
  drainMs: 10_000,
  retryDelayMs: 100,
  retryDelayMaxMs: 5_000,
}
