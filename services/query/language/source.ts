import type { Grant } from '../../shared/registry/grant.ts'
import type { Binder } from './bind.ts'
import { createColumnList } from './columns.ts'
import { moment, withoutDeleted } from './deleted.ts'
import { compileFilters } from './filters.ts'
import type { Timeframe } from './timeframe.ts'

/**
 * The only SQL that reads events' rows: a parenthesised SELECT of `columns` from one collection of the grant's project,
 * within the timeframe, and under the grant's own filters, without what was asked to be deleted. Whatever a query does, it
 * does to what comes out of here.
 */
export function eventsSource(grant: Grant, scope: Scope, columns: readonly string[], binder: Binder): string {
  const { selected, found } = grantedRows(grant, scope, columns, binder)
  return asSource(selected, found)
}

/**
 * The same for a SELECT that asks for the number of rows and nothing else: it stands behind FROM, and nothing stands behind
 * it. Mostly the table itself, since a SELECT in between is one more to plan.
 */
export function countedSource(grant: Grant, scope: Scope, binder: Binder): string {
  const { selected, found } = grantedRows(grant, scope, [], binder)
  return selected.length === 0 ? found : asSource(selected, found)
}

interface Scope {
  readonly collection: string
  readonly timeframe: Pick<Timeframe, 'startMs' | 'endMs'>
}

const asSource = (selected: readonly string[], found: string): string =>
  `(\n  SELECT ${selected.length === 0 ? '1' : selected.join(', ')}\n  FROM ${found}\n)`

function grantedRows(grant: Grant, scope: Scope, columns: readonly string[], binder: Binder) {
  const conditions = [
    `project = ${binder.bind(grant.projectId, 'String')}`,
    `collection = ${binder.bind(scope.collection, 'String')}`,
    `timestamp >= ${moment(scope.timeframe.startMs, binder)}`,
    `timestamp < ${moment(scope.timeframe.endMs, binder)}`,
  ]
  const unfinished = grant.deletionsOf(scope.collection).filter(({ progress }) => progress.state !== 'done')
  const rows = withoutDeleted(unfinished, conditions, binder)
  const keyColumns = createColumnList(binder, 'k')
  const where = [...rows.conditions]
  if (grant.rowFilters.length > 0) where.push(compileFilters(grant.rowFilters, keyColumns.columnOf, binder))
  const selected = [...columns, ...keyColumns.selected()]
  return { selected, found: `${rows.from}\n  WHERE ${where.join('\n    AND ')}` }
}

/** SQL that gives a row when the project has an event in the collection, whoever may see it: a name is not an event. */
export function collectionProbe(grant: Grant, collection: string, binder: Binder): string {
  const [project, name] = [binder.bind(grant.projectId, 'String'), binder.bind(collection, 'String')]
  return `SELECT 1 FROM events WHERE project = ${project} AND collection = ${name} LIMIT 1`
}
