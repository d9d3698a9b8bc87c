import { randomUUID } from 'node:crypto'
import { walkFilters } from '../../shared/filters/filter.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Counted, QueryContext } from '../context.ts'
import { explainedPattern } from '../explained-error.ts'
import { createBinder } from '../language/bind.ts'
import { createColumnList } from '../language/columns.ts'
import { moment } from '../language/deleted.ts'
import { compileFilters } from '../language/filters.ts'
import { eventsSource } from '../language/source.ts'
import { hasPath } from '../language/without-property.ts'
import type { DeletionScope } from './request.ts'

/** How many events in the warehouse a deletion concerns; refuses filters that the warehouse refuses. */
export async function countConcerned(
  { warehouse, settings }: Pick<QueryContext, 'warehouse' | 'settings'>,
  grant: Grant,
  collection: string,
  { filters, timeframe, property, atMs }: DeletionScope & { readonly atMs: number },
  signal: AbortSignal,
): Promise<Counted<number>> {
  const binder = createBinder()
  const columns = createColumnList(binder)
  const parsed = parseFilters(filters)
  const where = [compileFilters(parsed, columns.columnOf, binder)]
  const always = { startMs: -Infinity, endMs: Infinity }
  where.push(`created_at <= ${moment(atMs, binder)}`)
  if (property !== null) where.push(hasPath(property.split('.'), binder))
  const wanted = ['created_at', ...(property === null ? columns.selected() : ['body'])]
  const source = eventsSource(grant, { collection, timeframe: timeframe ?? always }, wanted, binder)
  // Tried on a text: one that RE2 refuses would otherwise go unnoticed while no event has a text there.
  const patterns = [...walkFilters(parsed)].flatMap((filter) => (filter.kind === 'matches' ? [filter.pattern] : []))
  const tried = patterns.map((pattern) => `, match(toString(rand()), ${binder.bind(pattern, 'String')})`).join('')
  const sql = `SELECT (SELECT count() FROM ${source} WHERE ${where.join(' AND ')})${tried}`
  // What is to be deleted has to be countable, however much it is; the time is still bounded.
  const limits = { ...settings.limits[grant.kind], rowsToRead: 0 }
  const { rows, rowsRead } = await warehouse
    .read({ sql, params: binder.params, limits, queryId: randomUUID(), signal })
    .catch((error: unknown) => {
      throw explainedPattern(error)
    })
  return { answer: Number(rows[0]?.[0] ?? 0), rowsRead }
}
