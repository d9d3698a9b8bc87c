import type { Deletion } from '../../shared/deletions/model.ts'
import type { Binder } from './bind.ts'
import { tableColumn } from './columns.ts'
import { compileFilters } from './filters.ts'
import { hasPath, withoutPath } from './without-property.ts'

/** SQL that is true in the rows of `events` that a deletion concerns, its project and collection aside. */
export function concerned(deletion: Deletion, binder: Binder): string {
  const { atMs, timeframe, filters, what, segments } = deletion
  const conditions = [`created_at <= ${moment(atMs, binder)}`]
  if (timeframe !== null) {
    conditions.push(`timestamp >= ${moment(timeframe.startMs, binder)}`)
    conditions.push(`timestamp < ${moment(timeframe.endMs, binder)}`)
  }
  if (filters.length > 0) conditions.push(compileFilters(filters, tableColumn(binder), binder))
  if (what === 'property') conditions.push(hasPath(segments, binder))
  return conditions.join(' AND ')
}

export interface Undeleted {
  /** What stands behind FROM: the table, or the table without deleted properties. */
  readonly from: string
  readonly conditions: readonly string[]
}

/**
 * The table `events` under `conditions`, as it will be once these deletions have been carried out, in their order: what is
 * gone by one is not there for the next.
 */
export function withoutDeleted(
  deletions: readonly Deletion[],
  conditions: readonly string[],
  binder: Binder,
): Undeleted {
  let from = 'events'
  let where = [...conditions]
  for (const deletion of deletions) {
    const condition = concerned(deletion, binder)
    if (deletion.what !== 'property') {
      where.push(`NOT (${condition})`)
      continue
    }
    const { body, properties } = withoutPath(deletion.segments, binder)
    const replaced = `if(${condition}, ${body}, body) AS body, if(${condition}, ${properties}, properties) AS properties`
    from = `(SELECT * REPLACE(${replaced}) FROM ${from} WHERE ${where.join(' AND ')})`
    where = [...conditions]
  }
  return { from, conditions: where }
}

const STORED_MIN_MS = Date.UTC(1900, 0, 1)
const STORED_MAX_MS = Date.UTC(2299, 11, 31)

/** A moment as the table holds them; one that it cannot hold means the same as the end of what it can. */
export function moment(ms: number, binder: Binder): string {
  const stored = Math.min(Math.max(ms, STORED_MIN_MS), STORED_MAX_MS)
  return binder.bind(new Date(stored).toISOString().slice(0, -1).replace('T', ' '), "DateTime64(3, 'UTC')")
}
