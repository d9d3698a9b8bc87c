import type { Grant } from '../../shared/registry/grant.ts'
import { bucketIndex, bucketValue } from '../language/buckets.ts'
import { compileQuery } from '../language/compile.ts'
import { bucketEdges } from '../language/interval.ts'
import { type Row, shapeResult } from '../language/shape.ts'
import type { TimeframeNode } from '../language/tree.ts'
import type { RunPlace } from '../refresh/runs.ts'
import type { QueryRunner } from '../run-query.ts'
import type { CellStore } from './cells.ts'
import type { IntervalQuery, IndexValues } from './definition.ts'
import { indexKey } from './index-key.ts'
import { bucketsOf, type DatasetState, runsOf, sameBucket } from './state.ts'

export interface AnswerDeps {
  readonly cells: Pick<CellStore, 'read'>
  readonly rowsToKeep: QueryRunner['rowsToKeep']
}

/** A dataset's query for index values, over a part of its timeframe whose edges are the dataset's own. */
export interface Asked {
  readonly values: IndexValues
  readonly query: IntervalQuery & { readonly timeframe: TimeframeNode & { readonly kind: 'fixed' } }
}

/**
 * What the dataset has for each of the values: from the cells where there are some, and from the events for intervals that
 * no refresh has seen yet. All are over the same part of the timeframe.
 */
export async function answerFromCells(
  deps: AnswerDeps,
  place: RunPlace,
  state: DatasetState,
  asked: readonly Asked[],
  grant: Grant,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly results: readonly unknown[]; readonly rowsRead: number }> {
  const [first] = asked
  if (first === undefined) return { results: [], rowsRead: 0 }
  const { timeframe, interval } = first.query
  const edges = bucketEdges(timeframe, interval)
  const valueAt = bucketValue(edges)
  // The values differ in what is filtered, and not in what an answer looks like.
  const { shape } = compileQuery(first.query, grant, nowMs)
  const made = new Map(state.made.map((bucket) => [sameBucket(bucket), bucket.generation]))
  const generations = bucketsOf(edges).map((bucket) => made.get(sameBucket(bucket)))
  const missing = runsOf([...generations.keys()].filter((i) => generations[i] === undefined))
  const keys = asked.map(({ values }) => indexKey(values))
  const range = {
    fromMs: timeframe.startMs,
    beforeMs: timeframe.endMs,
    generations: [...new Set(generations.filter((generation) => generation !== undefined))],
  }
  const cells = await deps.cells.read(
    place,
    keys.filter((key) => key !== undefined),
    range,
    signal,
  )
  const found = new Map(cells.map((cell) => [`${cell.key}/${cell.bucketMs}/${cell.generation}`, cell.rows]))
  let rowsRead = cells.length
  const results: unknown[] = []
  for (const [i, { query }] of asked.entries()) {
    const key = keys[i]
    const rows: Row[] =
      key === undefined
        ? []
        : generations.flatMap((generation, bucket) =>
            (found.get(`${key}/${edges[bucket]}/${generation}`) ?? []).map((row) => [valueAt(bucket), ...row]),
          )
    for (const [from, to] of key === undefined ? [[0, edges.length - 2] as const] : missing) {
      const part = edges.slice(from, to + 2)
      const [startMs = 0, endMs = 0] = [part[0], part.at(-1)]
      const live = await deps.rowsToKeep({ ...query, timeframe: { ...timeframe, startMs, endMs } }, grant, signal)
      const placeOf = bucketIndex(part)
      rows.push(...live.rows.map(([bucket, ...row]) => [valueAt(from + placeOf(Number(bucket))), ...row]))
      rowsRead += live.rowsRead
    }
    results.push(shapeResult(shape, rows))
  }
  return { results, rowsRead }
}
