import type { EventLog } from '../../shared/log/port.ts'
import { AppError, hasCode, isRetryable } from '../../shared/errors.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import type { RefreshMeters, RunOutcome } from './meters.ts'
import { progressKey, type RunRecord, type RunStore } from './runs.ts'
import { dueSlot, NO_PROGRESS, type Progress } from './schedule.ts'
import type { ResultVersion } from './version.ts'

export interface RefreshDeps {
  readonly log: Pick<EventLog, 'consume'>
  /** Of the processes that share out the work. */
  readonly group: string
  readonly definitions: Definitions
  /** Of the definitions that are kept fresh. */
  readonly kind: Definition['kind']
  /** What is to be done for one; null: nothing, or this version of the program does not understand it. Asked once for each. */
  readonly planOf: (definition: Definition) => RefreshPlan | null
  readonly store: RunStore
  readonly versionOf: ResultVersion
  /** Under which a project's results are made: it sees all of its rows. Undefined: there is no such project any more. */
  readonly projectGrant: (projectId: string) => Grant | undefined
  /** How many are made at once in this process, and how large one may be. */
  readonly settings: { readonly refreshesMax: number; readonly resultBytesMax: number }
  /** After a run was stored. `isFirst`: of its version. What fails here is told in the log, and no more. */
  readonly tidy: (run: RunRecord, isFirst: boolean) => Promise<void>
  /** After a result was made that nobody wants any more. As with `tidy`, what fails here is told in the log. */
  readonly abandon?: (definition: Definition) => Promise<void>
  readonly meters: Pick<RefreshMeters, 'ran'>
  readonly logger: Logger
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface RefreshPlan {
  readonly rateS: number
  /** Those that the result is made of. */
  readonly collections: readonly string[]
  readonly compute: (task: RefreshTask, signal: AbortSignal) => Promise<RunResult>
}

export type RunResult = NonNullable<RunRecord['result']>

/** One run. */
export interface RefreshTask {
  readonly definition: Definition
  readonly version: string
  /** The slot that `ranAtMs` lies in. */
  readonly slot: number
  /** When the run began, in milliseconds since 1970. */
  readonly ranAtMs: number
  readonly grant: Grant
}

interface Placed {
  readonly place: string
  readonly share: number
  readonly plan: RefreshPlan
}

export interface Refresher {
  /** Refreshes what is due, of the shares that come to this process, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  readonly stalestMs: () => number
}

const MESSAGE_CHARS_MAX = 1_000

/**
 * Keeps results of definitions fresh. Each definition belongs to a share, each share to one process at a time; whoever gets
 * a share reads from the warehouse how far its definitions are, and goes on from there. A run is stored only while the
 * share is still this process's, under a name made of the definition, its version and the slot: a process that stalled between
 * the two stores what is dropped as told before.
 */
export function createRefresher(deps: RefreshDeps): Refresher {
  const { definitions, store, versionOf, meters, logger, now } = deps
  const plans = new WeakMap<Definition, Placed | { readonly plan: null }>()
  const gate = createGate(deps.settings.refreshesMax)
  /** Of the shares held now, by `progressKey`. A share's signal is the same as long as it is held. */
  const held = new Map<AbortSignal, Map<string, Progress>>()

  const placedOf = (definition: Definition): Placed | undefined => {
    let placed = plans.get(definition)
    if (placed === undefined) {
      const place = `${definition.projectId}/${definition.name}`
      const plan = deps.planOf(definition)
      placed = plan === null ? { plan } : { place, share: shareOf(place), plan }
      plans.set(definition, placed)
    }
    return placed.plan === null ? undefined : placed
  }

  const progressOf = async (share: Share): Promise<Map<string, Progress>> => {
    const known = held.get(share.signal)
    if (known !== undefined) return known
    const read = new Map(await store.progress(share.index, share.signal))
    held.set(share.signal, read)
    share.signal.addEventListener('abort', () => held.delete(share.signal), { once: true })
    return read
  }

  const pass = async (share: Share): Promise<void> => {
    const progress = await progressOf(share)
    const seen = new Set<string>()
    for (const definition of definitions.all(deps.kind)) {
      if (share.signal.aborted) return
      const placed = placedOf(definition)
      if (placed === undefined || placed.share !== share.index) continue
      const { place, plan } = placed
      const version = versionOf(definition, plan.collections)
      const key = progressKey({ ...definition, version })
      seen.add(key)
      const before = progress.get(key) ?? NO_PROGRESS
      const grant = deps.projectGrant(definition.projectId)
      if (grant === undefined || dueSlot(place, plan.rateS, before, now()) === undefined) continue
      await gate(async () => {
        if (share.signal.aborted) return
        // The slot is that of the moment the run begins: the wait for a turn may have outlasted the one it was due in.
        const ranAtMs = now()
        const slot = dueSlot(place, plan.rateS, before, ranAtMs)
        if (slot === undefined) return
        const after = await refresh(share, plan, { definition, version, slot, ranAtMs, grant }, before)
        if (after !== undefined) progress.set(key, after)
      })
    }
    for (const key of progress.keys()) if (!seen.has(key)) progress.delete(key)
  }

  /** Whatever goes wrong with a share's queries, the process goes on. */
  const carefulPass = async (share: Share): Promise<void> => {
    try {
      await pass(share)
    } catch (error) {
      if (isRetryable(error)) throw error
      if (!share.signal.aborted)
        logger.error({ share: share.index, err: error }, 'a share of results to be kept fresh failed')
    }
  }

  const refresh = async (
    share: Share,
    plan: RefreshPlan,
    task: RefreshTask,
    before: Progress,
  ): Promise<Progress | undefined> => {
    const { definition, version, slot, ranAtMs } = task
    const { projectId, name } = definition
    const startedMs = performance.now()
    const ended = (outcome: RunOutcome): void => {
      meters.ran(outcome, (performance.now() - startedMs) / 1_000)
      const level = outcome === 'stored' ? 'debug' : 'info'
      logger[level]({ project: projectId, kind: deps.kind, name, slot, outcome }, 'refreshed')
    }
    let result: RunRecord['result'] = null
    let message = ''
    try {
      result = bounded(await plan.compute(task, share.signal))
    } catch (error) {
      if (share.signal.aborted) {
        ended('lost')
        return undefined
      }
      message = messageOf(error)
      logger.warn({ project: projectId, kind: deps.kind, name, err: error }, 'a result could not be refreshed')
    }
    const current = definitions.get(deps.kind, projectId, name)
    if (current !== definition || versionOf(current, plan.collections) !== version) {
      ended('superseded')
      await careful(definition, async () => deps.abandon?.(definition))
      return undefined
    }
    const attempt = before.failures + 1
    const durationMs = performance.now() - startedMs
    const run = { projectId, name, version, slot, share: share.index, result, message, attempt, ranAtMs, durationMs }
    const failed = { ...before, failures: attempt, failedAtMs: now() }
    try {
      await share.confirm()
      await store.store(run, share.signal)
    } catch (error) {
      const isLost = share.signal.aborted || hasCode(error, 'LOG_FENCED')
      ended(isLost ? 'lost' : 'unstored')
      if (isLost) return undefined
      logger.warn({ project: projectId, kind: deps.kind, name, err: error }, 'what became of a run could not be stored')
      return failed
    }
    ended(result === null ? 'failed' : 'stored')
    await careful(definition, async () => deps.tidy(run, before.slot === null && attempt === 1))
    if (result === null) return failed
    return { ...NO_PROGRESS, slot, freshAtMs: ranAtMs }
  }

  const careful = async ({ projectId, name }: Definition, work: () => Promise<void> | undefined): Promise<void> => {
    try {
      await work()
    } catch (error) {
      logger.warn({ project: projectId, kind: deps.kind, name, err: error }, 'older results stay until they expire')
    }
  }

  const bounded = (result: RunResult): RunResult => {
    const bytes = Buffer.byteLength(result.text)
    const { resultBytesMax } = deps.settings
    if (bytes <= resultBytesMax) return result
    throw new AppError('QueryTooLargeError', `The result has ${bytes} bytes; up to ${resultBytesMax} are kept.`)
  }

  return {
    run: async (signal) => runShares({ log: deps.log, group: deps.group, work: carefulPass, signal }),
    stalestMs() {
      let oldestMs = 0
      for (const progress of held.values()) {
        for (const { freshAtMs } of progress.values()) {
          if (freshAtMs !== null) oldestMs = Math.max(oldestMs, now() - freshAtMs)
        }
      }
      return oldestMs
    },
  }
}

/** Shown to whoever may see the query: the API's own errors, nothing of the inside. */
function messageOf(error: unknown): string {
  const isShown = error instanceof AppError && error.policy.expose
  return (isShown ? `${error.code}: ${error.message}` : 'The run failed.').slice(0, MESSAGE_CHARS_MAX)
}

/** Lets so many work at a time; the others wait, first come first served. */
function createGate(runningMax: number): (work: () => Promise<void>) => Promise<void> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= runningMax) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
