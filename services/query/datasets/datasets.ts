import { Counter } from 'prom-client'
import type { EventLog } from '../../shared/log/port.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import type { QueryContext } from '../context.ts'
import { createRefreshMeters } from '../refresh/meters.ts'
import { createRefresher, type Refresher, type RefreshPlan } from '../refresh/refresher.ts'
import { createRunStore, type LastRun, placeKey } from '../refresh/runs.ts'
import { createResultVersion } from '../refresh/version.ts'
import { answerFromCells, type Asked } from './answer.ts'
import { createCellStore } from './cells.ts'
import { computeDataset } from './compute.ts'
import { datasetOf, type Freshness, indexedQuery } from './definition.ts'
import { generationsOf, NO_STATE, parseState } from './state.ts'

/** Where datasets are computed ahead. */
export interface DatasetWork {
  readonly log: Pick<EventLog, 'consume'>
  /** A grant that sees all rows of a project; undefined: there is no such project. */
  readonly projectGrant: (projectId: string) => Grant | undefined
}

/** Datasets of all projects. Whoever calls has checked what the key permits. */
export interface Datasets {
  /** Of one project's, in their order. */
  freshness(definitions: readonly Definition[], signal: AbortSignal): Promise<readonly Freshness[]>
  /** What it has for each of the values; all are over the same part of its timeframe. */
  answer(
    definition: Definition,
    asked: readonly Asked[],
    grant: Grant,
    signal: AbortSignal,
  ): Promise<{ readonly results: readonly unknown[]; readonly rowsRead: number }>
  /** Removes what refreshes of it left. */
  forget(definition: Definition): Promise<void>
  /** Undefined: nothing is computed ahead. */
  readonly refresher: Refresher | undefined
}

const KIND = 'dataset'
const REFRESH_GROUP = 'tributary.datasets'
/** Every so many refreshes, cells of former generations are removed: each removal rewrites parts of the table. */
const TIDIED_EVERY = 24
/** Tidying up is bounded by the warehouse's own limits. */
const never = new AbortController().signal
/** Of what is noted down of a dataset's intervals, of which there are 9,000 at most. */
const STATE_BYTES_MAX = 4_000_000

export function createDatasets(context: QueryContext, work: DatasetWork | undefined): Datasets {
  const { warehouse, definitions, now, logger, metrics, runQuery, settings } = context
  const { refreshS: rateS, refreshesMax } = settings.datasets
  const runs = createRunStore(warehouse, 'dataset_runs', STATE_BYTES_MAX)
  const cells = createCellStore(warehouse, now)
  const versionOf = createResultVersion(definitions)
  const isAhead = work !== undefined && rateS > 0
  let refresher: Refresher | undefined
  const meters = createRefreshMeters(metrics, 'dataset', () => refresher?.stalestMs() ?? 0)
  const intervals = new Counter({
    name: 'dataset_intervals_total',
    help: 'Intervals of datasets that refreshes computed, and those whose values they kept.',
    labelNames: ['what'],
    registers: [metrics],
  })
  const placeOf = (definition: Definition) => ({
    projectId: definition.projectId,
    name: definition.name,
    version: versionOf(definition, collectionsOf(definition)),
  })
  const planOf = (definition: Definition): RefreshPlan | null => {
    const collections = collectionsOf(definition)
    if (collections.length === 0) return null
    const dataset = datasetOf(definition)
    const deps = {
      warehouse,
      runs,
      cells,
      rowsToKeep: runQuery.rowsToKeep,
      limitsOf: context.limitsOf,
      settings,
      intervals: (what: 'computed' | 'kept', count: number) => intervals.inc({ what }, count),
    }
    return { rateS, collections, compute: async (task, signal) => computeDataset(deps, dataset, task, signal) }
  }
  if (isAhead) {
    refresher = createRefresher({
      ...work,
      group: REFRESH_GROUP,
      definitions,
      kind: KIND,
      planOf,
      store: runs,
      versionOf,
      settings: { refreshesMax, resultBytesMax: STATE_BYTES_MAX },
      async tidy({ projectId, name, version, slot, result, ranAtMs }, isFirst) {
        if (isFirst) await runs.remove(projectId, name, version)
        else if (result === null || slot % TIDIED_EVERY !== 0) return
        // Whoever stalled may not be the one whose run was stored, and others may have gone on since: what counts is the
        // stored state, and what was computed after its run began is left to whoever computed it.
        const stored = await runs.result({ projectId, name, version }, never)
        const state = stored === undefined ? NO_STATE : parseState(stored.text)
        const generations = [...generationsOf(state), ...state.former]
        const beforeMs = Math.min(ranAtMs, stored?.ranAtMs ?? ranAtMs)
        await cells.tidy(projectId, name, { version, generations, beforeMs })
      },
      // What only a deletion made out of date goes with the first refresh after it.
      async abandon({ projectId, name, version }) {
        if (definitions.get(KIND, projectId, name)?.version !== version) await cells.forget(projectId, name, version)
      },
      meters,
      logger,
      now,
    })
  }

  return {
    refresher,
    async freshness(some, signal) {
      const live: Freshness = { status: 'OK', ranAtMs: null, freshAtMs: now() }
      const [first, ...others] = some
      if (!isAhead || first === undefined) return some.map(() => live)
      const last = await runs.lastRuns(first.projectId, others.length === 0 ? first.name : null, signal)
      return some.map((definition) => {
        const { name, version } = placeOf(definition)
        return freshnessOf(last.get(placeKey(name, version)), now())
      })
    },
    async answer(definition, asked, grant, signal) {
      // A key with filters sees fewer rows than the cells are made of.
      const stored =
        isAhead && grant.rowFilters.length === 0 ? await runs.result(placeOf(definition), signal) : undefined
      if (stored !== undefined) {
        meters.answered('stored')
        const deps = { cells, rowsToKeep: runQuery.rowsToKeep }
        return answerFromCells(deps, placeOf(definition), parseState(stored.text), asked, grant, now(), signal)
      }
      meters.answered('computed')
      const results: unknown[] = []
      let rowsRead = 0
      for (const { query } of asked) {
        const run = await runQuery(query, grant, signal)
        results.push(run.answer.result)
        rowsRead += run.rowsRead
      }
      return { results, rowsRead }
    },
    async forget({ projectId, name, version }) {
      try {
        await runs.remove(projectId, name)
        await cells.forget(projectId, name, version)
      } catch (error) {
        // Nothing serves them: they carry the version of a definition that is gone.
        logger.warn({ project: projectId, dataset: name, err: error }, 'results of a dataset stay until they expire')
      }
    },
  }
}

/** None: this version of the program does not understand it. */
function collectionsOf(definition: Definition): readonly string[] {
  try {
    return [indexedQuery(datasetOf(definition)).collection]
  } catch {
    return []
  }
}

function freshnessOf(last: LastRun | undefined, nowMs: number): Freshness {
  // Where nothing is stored, the events themselves answer.
  if (last === undefined) return { status: 'Created', ranAtMs: null, freshAtMs: nowMs }
  const { isGood, ranAtMs, freshAtMs } = last
  if (freshAtMs === null) return { status: 'BootstrappingFailed', ranAtMs, freshAtMs: nowMs }
  return { status: isGood ? 'OK' : 'Warn', ranAtMs, freshAtMs }
}
