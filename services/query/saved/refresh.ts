import type { EventLog } from '../../shared/log/port.ts'
import { AppError, hasCode, isRetryable } from '../../shared/errors.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import type { QueryRunner } from '../run-query.ts'
import type { SavedSettings } from '../settings.ts'
import { savedQueryOf } from './definition.ts'
import type { RunOutcome, SavedMeters } from './meters.ts'
import { type Question, savedQuestion } from './question.ts'
import { progressKey, type RunRecord, type RunStore } from './runs.ts'
import { dueSlot, NO_PROGRESS, type Progress } from './schedule.ts'
import type { ResultVersion } from './version.ts'

export const REFRESH_GROUP = 'tributary.cached-queries'

export interface RefreshDeps {
  readonly log: Pick<EventLog, 'consume'>
  readonly definitions: Definitions
  readonly store: RunStore
  readonly run: QueryRunner
  readonly versionOf: ResultVersion
  /** Under which a project's queries are refreshed: it sees all of its rows. Undefined: there is no such project any more. */
  readonly projectGrant: (projectId: string) => Grant | undefined
  readonly settings: SavedSettings
  readonly meters: Pick<SavedMeters, 'ran'>
  readonly logger: Logger
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** What is to be done for a definition; read once. */
interface Plan {
  readonly place: string
  readonly share: number
  readonly rateS: number
  /** Null: this version of the program does not understand it. */
  readonly question: Question | null
}

/** One run. */
interface Task {
  readonly definition: Definition
  readonly version: string
  /** The slot that `ranAtMs` lies in. */
  readonly slot: number
  /** When the run began, in milliseconds since 1970. */
  readonly ranAtMs: number
  readonly grant: Grant
  readonly question: Question
}

export interface Refresher {
  /** Refreshes what is due, of the shares that come to this process, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  readonly stalestMs: () => number
}

const MESSAGE_CHARS_MAX = 1_000

/**
 * Keeps the results of cached queries fresh. Each query belongs to a share, each share to one process at a time; whoever
 * gets a share reads from the warehouse how far its queries are, and goes on from there. A run is stored only while the
 * share is still this process's, under a name made of the query, its version and the slot: a process that stalled between
 * the two stores what is dropped as told before.
 */
export function createRefresher(deps: RefreshDeps): Refresher {
  const { definitions, store, versionOf, meters, logger, now } = deps
  const plans = new WeakMap<Definition, Plan>()
  const gate = createGate(deps.settings.refreshesMax)
  /** Of the shares held now, by `progressKey`. A share's signal is the same as long as it is held. */
  const held = new Map<AbortSignal, Map<string, Progress>>()

  const planOf = (definition: Definition): Plan => {
    const known = plans.get(definition)
    if (known !== undefined) return known
    const saved = savedQueryOf(definition)
    const place = `${definition.projectId}/${definition.name}`
    const plan = { place, share: shareOf(place), rateS: saved.refreshRateS, question: savedQuestion(saved.query) }
    plans.set(definition, plan)
    return plan
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
    for (const definition of definitions.all('saved-query')) {
      if (share.signal.aborted) return
      const plan = planOf(definition)
      if (plan.share !== share.index || plan.rateS === 0 || plan.question === null) continue
      const version = versionOf(definition, plan.question.collections)
      const key = progressKey({ ...definition, version })
      seen.add(key)
      const before = progress.get(key) ?? NO_PROGRESS
      const grant = deps.projectGrant(definition.projectId)
      if (grant === undefined || dueSlot(plan.place, plan.rateS, before, now()) === undefined) continue
      const { question } = plan
      await gate(async () => {
        if (share.signal.aborted) return
        // The slot is that of the moment the run begins: the wait for a turn may have outlasted the one it was due in.
        const ranAtMs = now()
        const slot = dueSlot(plan.place, plan.rateS, before, ranAtMs)
        if (slot === undefined) return
        const after = await refresh(share, { definition, version, slot, ranAtMs, grant, question }, before)
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
      if (!share.signal.aborted) logger.error({ share: share.index, err: error }, 'a share of cached queries failed')
    }
  }

  const refresh = async (share: Share, task: Task, before: Progress): Promise<Progress | undefined> => {
    const { definition, version, slot, ranAtMs, question } = task
    const { projectId, name } = definition
    const startedMs = performance.now()
    const ended = (outcome: RunOutcome): void => {
      meters.ran(outcome, (performance.now() - startedMs) / 1_000)
      const level = outcome === 'stored' ? 'debug' : 'info'
      logger[level]({ project: projectId, query: name, slot, outcome }, 'cached query run')
    }
    let result: RunRecord['result'] = null
    let message = ''
    try {
      result = await computed(task, share.signal)
    } catch (error) {
      if (share.signal.aborted) {
        ended('lost')
        return undefined
      }
      message = messageOf(error)
      logger.warn({ project: projectId, query: name, err: error }, 'a cached query could not be refreshed')
    }
    const current = definitions.get('saved-query', projectId, name)
    if (current !== definition || versionOf(current, question.collections) !== version) {
      ended('superseded')
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
      logger.warn({ project: projectId, query: name, err: error }, 'what became of a cached query could not be stored')
      return failed
    }
    if (before.slot === null && attempt === 1) await removeOthers(definition, version)
    ended(result === null ? 'failed' : 'stored')
    if (result === null) return failed
    return { ...NO_PROGRESS, slot, freshAtMs: ranAtMs }
  }

  /** What was made under another definition, or before a deletion, is nobody's to keep. */
  const removeOthers = async ({ projectId, name }: Definition, version: string): Promise<void> => {
    try {
      await store.remove(projectId, name, version)
    } catch (error) {
      logger.warn({ project: projectId, query: name, err: error }, 'older results stay until they expire')
    }
  }

  const computed = async (
    { grant, question }: { grant: Grant; question: Question },
    signal: AbortSignal,
  ): Promise<NonNullable<RunRecord['result']>> => {
    const answer = await question.ask(deps.run, grant, signal)
    const text = JSON.stringify(answer.result)
    const bytes = Buffer.byteLength(text)
    const { resultBytesMax } = deps.settings
    if (bytes > resultBytesMax) {
      throw new AppError(
        'QueryTooLargeError',
        `The result has ${bytes} bytes; up to ${resultBytesMax} are kept for a cached query.`,
      )
    }
    const metadata = answer.executionMetadata
    return { text, metadataText: metadata === undefined ? '' : JSON.stringify(metadata) }
  }

  return {
    run: async (signal) => runShares({ log: deps.log, group: REFRESH_GROUP, work: carefulPass, signal }),
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
