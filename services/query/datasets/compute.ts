import { randomUUID } from 'node:crypto'
import { AppError } from '../../shared/errors.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { bucketIndex } from '../language/buckets.ts'
import { bucketEdges } from '../language/interval.ts'
import { resolveTimeframe } from '../language/timeframe.ts'
import type { RefreshTask, RunResult } from '../refresh/refresher.ts'
import type { RunStore } from '../refresh/runs.ts'
import type { QueryContext } from '../context.ts'
import type { QueryRunner } from '../run-query.ts'
import type { QuerySettings } from '../settings.ts'
import type { CellStore } from './cells.ts'
import { changesAfter } from './changes.ts'
import { type Dataset, indexedQuery } from './definition.ts'
import { cellsOf } from './index-key.ts'
import {
  bucketsOf,
  generationsOf,
  newMarks,
  NO_STATE,
  outdated,
  parseState,
  runsOf,
  stateText,
  withMade,
} from './state.ts'

export interface ComputeDeps {
  readonly warehouse: Warehouse
  readonly runs: Pick<RunStore, 'result'>
  readonly cells: Pick<CellStore, 'store'>
  readonly rowsToKeep: QueryRunner['rowsToKeep']
  readonly limitsOf: QueryContext['limitsOf']
  readonly settings: Pick<QuerySettings, 'datasets'>
  readonly intervals: (what: 'computed' | 'kept', count: number) => void
}

/** Intervals that lie apart are a question each; past so many, all between the first and the last are computed. */
const QUESTIONS_MAX = 20

/**
 * Computes what is new of a dataset, and what changed, for all index values at once. The result's text is the dataset's
 * state; its cells are stored under a generation that nothing but that state names, so that half of them are never seen.
 * Rejects as a query does, and with QueryTooLargeError when there are more values than may be kept.
 */
export async function computeDataset(
  deps: ComputeDeps,
  dataset: Dataset,
  { definition, version, grant, ranAtMs }: RefreshTask,
  signal: AbortSignal,
): Promise<RunResult> {
  const { projectId, name } = definition
  const place = { projectId, name, version }
  const query = indexedQuery(dataset)
  const whole = resolveTimeframe(query.timeframe, query.zone, ranAtMs)
  const edges = bucketEdges(whole, query.interval)
  const buckets = bucketsOf(edges)
  const stored = await deps.runs.result(place, signal)
  const before = stored === undefined ? NO_STATE : parseState(stored.text)
  const scope = { collection: query.collection, edges }
  const limits = deps.limitsOf(grant)
  // Before the rows themselves are read: what comes in between is computed twice rather than never.
  const changes = await changesAfter(deps.warehouse, grant, scope, before.marks, limits, signal)
  const old = outdated(before, buckets, changes, ranAtMs)
  const runs = runsOf(old)
  const [first, last] = [old[0] ?? 0, old.at(-1) ?? -1]
  const generation = randomUUID()
  const computed: number[] = []
  let values = 0
  for (const [from, to] of runs.length > QUESTIONS_MAX ? [[first, last] as const] : runs) {
    const [startMs = 0, endMs = 0] = [edges[from], edges[to + 1]]
    const part = { ...query, timeframe: { kind: 'fixed', startMs, endMs, zone: query.zone } as const }
    const { rows } = await deps.rowsToKeep(part, grant, signal)
    values += rows.length
    if (values > deps.settings.datasets.valuesMax) {
      throw new AppError(
        'QueryTooLargeError',
        `The dataset has more than ${deps.settings.datasets.valuesMax} values in one refresh.`,
      )
    }
    const placeOf = bucketIndex(edges.slice(from, to + 2))
    const cells = cellsOf(rows, dataset.indexBy.length, (bucket) => edges[from + placeOf(bucket)] ?? startMs)
    await deps.cells.store(place, generation, cells, signal)
    for (let bucket = from; bucket <= to; bucket++) computed.push(bucket)
  }
  deps.intervals('computed', computed.length)
  deps.intervals('kept', buckets.length - computed.length)
  const state = {
    marks: newMarks(before, changes),
    made: withMade(before, buckets, computed, generation, ranAtMs),
    former: generationsOf(before),
  }
  return {
    text: stateText(state),
    metadataText: JSON.stringify({
      intervals_computed: computed.length,
      intervals_kept: buckets.length - computed.length,
    }),
  }
}
