import type { Grant } from '../../shared/registry/grant.ts'
import { type Binder, createBinder } from './bind.ts'
import { createColumnList } from './columns.ts'
import { compileFilters } from './filters.ts'
import { eventsSource } from './source.ts'
import type { Timeframe } from './timeframe.ts'
import type { ExtractionNode, Query } from './tree.ts'

export interface Statement {
  readonly sql: string
  readonly params: Readonly<Record<string, unknown>>
}

/** What an extraction asks the warehouse, each under the same conditions. */
export interface ExtractionStatements {
  /** Rows of timestamp and created_at (Int64, ms), id (String) and body (String, JSON text), in the order of the answer. */
  readonly events: Statement
  /** One row: the number of events that `events` finds without its limit, and the bytes of their bodies. */
  readonly size: Statement
  /** A row for each path that has a value in any of the events; at most `pathsMax`. */
  readonly paths: Statement
}

/** `eventsMax` is what `events` stops after; with `latest` it stops there. */
export function compileExtraction(
  query: Query,
  node: ExtractionNode,
  grant: Grant,
  timeframe: Timeframe,
  bounds: { readonly eventsMax: number; readonly pathsMax: number },
): ExtractionStatements {
  const direction = node.latest === null ? 'ASC' : 'DESC'
  const inOrder = `ORDER BY timestamp ${direction}, id ${direction}`
  /** The rows, and behind them the words that cut them to the latest. */
  const from = (columns: readonly string[], binder: Binder): string => {
    const list = createColumnList(binder)
    const where = compileFilters(query.filters, list.columnOf, binder)
    const source = eventsSource(
      grant,
      { collection: query.collection, timeframe },
      [...columns, ...list.selected()],
      binder,
    )
    return where === 'true' ? source : `${source}\nWHERE ${where}`
  }
  const statement = (write: (binder: Binder) => string): Statement => {
    const binder = createBinder()
    return { sql: write(binder), params: binder.params }
  }
  const cut = (count: number, binder: Binder): string => `LIMIT ${binder.bind(count, 'UInt32')}`
  const over = (columns: readonly string[], binder: Binder): string =>
    node.latest === null
      ? from(columns, binder)
      : `(\nSELECT ${columns.join(', ')}\nFROM ${from(['timestamp', 'id', ...columns], binder)}\n${inOrder}\n${cut(node.latest, binder)}\n)`
  return {
    events: statement((binder) =>
      [
        `SELECT toUnixTimestamp64Milli(timestamp) AS t, toUnixTimestamp64Milli(created_at) AS c, toString(id) AS i, body`,
        `FROM ${from(['timestamp', 'created_at', 'id', 'body'], binder)}`,
        inOrder,
        cut(node.latest ?? bounds.eventsMax, binder),
      ].join('\n'),
    ),
    size: statement((binder) => `SELECT count(), sum(length(body))\nFROM ${over(['body'], binder)}`),
    paths: statement(
      (binder) =>
        `SELECT arrayJoin(arraySort(distinctJSONPaths(properties))) AS path\nFROM ${over(['properties'], binder)}\n${cut(bounds.pathsMax, binder)}`,
    ),
  }
}
