export interface TailSettings {
  /** Open at once in this process, of one project, and under one key. */
  readonly tailsMax: number
  readonly perProjectMax: number
  readonly perKeyMax: number
  /** Most events a second on one tail, however many are asked for. */
  readonly eventsPerSecondMax: number
  /** What may wait for a reader that takes its time, in bytes. */
  readonly queueBytesMax: number
  /** Of each second, the milliseconds that all tails together may spend on looking at events. */
  readonly workMsPerSecond: number
}

export const DEFAULT_TAIL_SETTINGS: TailSettings = {
  tailsMax: 64,
  perProjectMax: 16,
  perKeyMax: 8,
  eventsPerSecondMax: 1_000,
  queueBytesMax: 1_048_576,
  workMsPerSecond: 200,
}
