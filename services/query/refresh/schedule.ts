import { createHash } from 'node:crypto'

/**
 * When a cached query is refreshed. Time is cut into slots of its refresh rate, which begin at another moment for each
 * query, so that not all are due at once; a slot is the same in every process, and gives its run a name.
 */

/** What happened so far under the definition's version. */
export interface Progress {
  /** The newest slot that has a result; null: none has. */
  readonly slot: number | null
  /** Failed runs since then, and the last one's end. */
  readonly failures: number
  readonly failedAtMs: number
  /** When the newest result was made; null: there is none. */
  readonly freshAtMs: number | null
}

export const NO_PROGRESS: Progress = { slot: null, failures: 0, failedAtMs: 0, freshAtMs: null }

/** After its first failure a run is tried again after this long, then after twice as long, and so on. */
const RETRY_MS = 60_000
const RETRY_MS_MAX = 6 * 3_600_000

/** The slot that `nowMs` lies in. `place`: the project and the query's name; it decides where slots begin. */
export function slotAt(place: string, rateS: number, nowMs: number): number {
  const rateMs = rateS * 1_000
  return Math.floor((nowMs - beginsMs(place, rateMs)) / rateMs)
}

/** The slot to be computed now; undefined: nothing is due. */
export function dueSlot(place: string, rateS: number, progress: Progress, nowMs: number): number | undefined {
  const slot = slotAt(place, rateS, nowMs)
  if (progress.slot !== null && progress.slot >= slot) return undefined
  if (progress.failures > 0 && nowMs < progress.failedAtMs + retryAfterMs(progress.failures, rateS)) return undefined
  return slot
}

/** Never longer than the refresh rate: a query that failed is not treated worse than one that did not. */
export const retryAfterMs = (failures: number, rateS: number): number =>
  Math.min(RETRY_MS * 2 ** Math.min(failures - 1, 20), RETRY_MS_MAX, rateS * 1_000)

function beginsMs(place: string, rateMs: number): number {
  const hash = createHash('sha256').update(place).digest()
  return hash.readUIntBE(0, 6) % rateMs
}
