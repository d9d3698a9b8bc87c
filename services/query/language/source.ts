import type { Grant } from '../../shared/registry/grant.ts'
import type { Binder } from './bind.ts'
import { createColumnList } from './columns.ts'
import { compileFilters } from './filters.ts'
import type { Timeframe } from './timeframe.ts'

/** What DateTime64(3) can hold; a bound outside it means the same as the end of it. */
const STORED_MIN_MS = Date.UTC(1900, 0, 1)
const STORED_MAX_MS = Date.UTC(2299, 11, 31)

/**
 * The only SQL that reads events' rows: a parenthesised SELECT of `columns` from one collection of the grant's project,
 * within the timeframe, and under the grant's own filters. Whatever a query does, it does to what comes out of here.
 */
export function eventsSource(
  grant: Grant,
  scope: { readonly collection: string; readonly timeframe: Pick<Timeframe, 'startMs' | 'endMs'> },
  columns: readonly string[],
  binder: Binder,
): string {
  const conditions = [
    `project = ${binder.bind(grant.projectId, 'String')}`,
    `collection = ${binder.bind(scope.collection, 'String')}`,
    `timestamp >= fromUnixTimestamp64Milli(${binder.bind(storedMs(scope.timeframe.startMs), 'Int64')}, 'UTC')`,
    `timestamp < fromUnixTimestamp64Milli(${binder.bind(storedMs(scope.timeframe.endMs), 'Int64')}, 'UTC')`,
  ]
  const keyColumns = createColumnList(binder, 'k')
  if (grant.rowFilters.length > 0) conditions.push(compileFilters(grant.rowFilters, keyColumns.columnOf, binder))
  const selected = [...columns, ...keyColumns.selected()]
  return `(\n  SELECT ${selected.length === 0 ? '1' : selected.join(', ')}\n  FROM events\n  WHERE ${conditions.join('\n    AND ')}\n)`
}

/** SQL that gives a row when the project has an event in the collection, whoever may see it: a name is not an event. */
export function collectionProbe(grant: Grant, collection: string, binder: Binder): string {
  const [project, name] = [binder.bind(grant.projectId, 'String'), binder.bind(collection, 'String')]
  return `SELECT 1 FROM events WHERE project = ${project} AND collection = ${name} LIMIT 1`
}

const storedMs = (ms: number): number => Math.min(Math.max(ms, STORED_MIN_MS), STORED_MAX_MS)
