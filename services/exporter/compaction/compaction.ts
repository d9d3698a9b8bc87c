import type { Logger } from 'pino'
import type { Bucket } from '../../shared/bucket/port.ts'
import { readCompactionPlan } from '../archive/compaction-plans.ts'
import { HOUR_MS } from '../domain/archive-key.ts'
import type { CompactionPlan, Cursor } from '../domain/compaction.ts'
import { planMerges } from '../domain/plan-merges.ts'
import { carryOut } from './carry-out.ts'
import { clear } from './clear.ts'
import type { CompactionMetrics } from './metrics.ts'
import { decide, mark, readPosition } from './position.ts'
import type { CompactionSettings } from './settings.ts'
import { survey } from './survey.ts'

export interface CompactionDeps {
  readonly archive: Bucket
  /** For files that wait to be sent. */
  readonly folder: string
  readonly settings: CompactionSettings
  readonly metrics: CompactionMetrics
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Whether everything that was written to the log before this time is in the archive. */
  readonly isArchived: (beforeMs: number) => Promise<boolean>
  /** Resolves while the work is this process's. */
  readonly confirm: () => Promise<void>
  readonly signal: AbortSignal
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Merges the small objects of closed hours into larger files, plan by plan, as long as one process holds the work. All of
 * what is decided is in the archive; another process goes on from there.
 */
export class Compaction {
  readonly #deps: CompactionDeps
  #plan: CompactionPlan | undefined
  #isOpen = false
  #isDone = true
  /** Plans that were carried out, and since when as far as this process knows. */
  #uncleared: { readonly number: number; readonly sinceMs: number }[] = []
  #cursor: Cursor = {}
  /** Hours before it were gone through. */
  #throughMs = 0
  #unwritten = 0
  #hasMore = false

  constructor(deps: CompactionDeps) {
    this.#deps = deps
  }

  /** Hours that begin before it were gone through; undefined while none was. Milliseconds since 1970. */
  get throughMs(): number | undefined {
    return this.#throughMs === 0 ? undefined : this.#throughMs
  }

  /**
   * Finishes what was begun: a plan that was not carried out, and the removal of what earlier ones replaced, when its time
   * has come. True when nothing is left to remove. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
   */
  async settle(): Promise<boolean> {
    await this.#open()
    await this.#finish()
    const { archive, settings, metrics, signal, now, confirm } = this.#deps
    for (const one of this.#uncleared) {
      if (now() - one.sinceMs < settings.graceMs) continue
      const plan = await readCompactionPlan(archive, one.number, signal)
      await confirm()
      if (plan !== undefined) await clear(this.#deps, plan, signal)
      await mark(archive, one.number, 'cleared', signal)
      this.#uncleared = this.#uncleared.filter((other) => other !== one)
      metrics.waiting.set(this.#uncleared.length)
    }
    return this.#uncleared.length === 0
  }

  /**
   * Makes a plan of what hours hold that closed since the last one, and carries it out; true when there is more.
   * `settle` must have gone well before. Rejects as it does.
   */
  async advance(): Promise<boolean> {
    const { archive, settings, signal, now, isArchived, confirm } = this.#deps
    const openFromMs = Math.floor((now() - settings.closedAfterMs) / HOUR_MS) * HOUR_MS
    if (!this.#hasMore && openFromMs <= this.#throughMs) return false
    if (!(await isArchived(openFromMs))) return false
    await confirm()
    const found = await survey(archive, this.#cursor, openFromMs, settings, signal)
    const number = (this.#plan?.number ?? 0) + 1
    const merges = planMerges(number, found.candidates, settings.targetBytes)
    const hasMoved = JSON.stringify(found.cursor) !== JSON.stringify(this.#cursor)
    // Where nothing came of it, another look would see the same.
    const hasMore = found.isFull && (merges.length > 0 || hasMoved)
    const unwritten = this.#unwritten + found.looked
    if (merges.length > 0 || (hasMoved && unwritten >= settings.rangesUnwritten)) {
      await this.#decide({ version: 1, number, merges: [...merges], cursor: found.cursor })
    } else {
      this.#cursor = found.cursor
      this.#unwritten = unwritten
    }
    this.#hasMore = hasMore
    if (!hasMore) this.#throughMs = openFromMs
    await this.#finish()
    return hasMore
  }

  async #decide(plan: CompactionPlan): Promise<void> {
    const { archive, signal } = this.#deps
    // Without an answer nobody knows which plan holds: then it is looked up.
    this.#isOpen = false
    this.#hold(await decide(archive, plan, signal))
    this.#isOpen = true
  }

  #hold(plan: CompactionPlan): void {
    this.#plan = plan
    this.#cursor = plan.cursor
    this.#isDone = false
    this.#unwritten = 0
  }

  async #open(): Promise<void> {
    if (this.#isOpen) return
    const { archive, signal, now, metrics } = this.#deps
    const { plan, isDone, uncleared } = await readPosition(archive, signal)
    if (plan !== undefined) this.#hold(plan)
    this.#isDone = isDone
    const known = new Map(this.#uncleared.map((one) => [one.number, one.sinceMs]))
    this.#uncleared = uncleared.map((number) => ({ number, sinceMs: known.get(number) ?? now() }))
    metrics.waiting.set(uncleared.length)
    this.#isOpen = true
  }

  async #finish(): Promise<void> {
    const plan = this.#plan
    if (this.#isDone || plan === undefined) return
    const { archive, signal, metrics, logger, now } = this.#deps
    const { number, merges } = plan
    if (merges.length === 0) await mark(archive, number, 'cleared', signal)
    else {
      await carryOut(this.#deps, plan, signal)
      await mark(archive, number, 'done', signal)
      this.#uncleared.push({ number, sinceMs: now() })
      metrics.plans.inc()
      metrics.waiting.set(this.#uncleared.length)
      const pieces = merges.reduce((sum, merge) => sum + merge.pieces.length, 0)
      logger.info({ plan: number, files: merges.length, pieces }, 'objects of the archive were merged')
    }
    this.#isDone = true
  }
}
