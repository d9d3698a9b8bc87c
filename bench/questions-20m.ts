import type { AnalysisName, Fields } from '../services/query/language/parse.ts'
import { END_MS, PROJECT, START_MS } from './events-20m.ts'

/** A question, and what somebody who knows the table would write for it. */
export interface Question {
  readonly analysis: AnalysisName
  readonly fields: Fields
  readonly sql: string
  /** The rows of `sql` as the API's `result`. */
  readonly result: (rows: readonly (readonly unknown[])[]) => unknown
}

const timeframe = { start: new Date(START_MS).toISOString(), end: new Date(END_MS).toISOString() }
const from = (collection: string, where = ''): string =>
  `FROM events WHERE project = '${PROJECT}' AND collection = '${collection}'` +
  ` AND timestamp >= '${day(START_MS)}' AND timestamp < '${day(END_MS)}'${where === '' ? '' : ` AND ${where}`}`
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

const PRICE =
  'coalesce(toFloat64(properties.price.:Int64), properties.price.:Float64, toFloat64(properties.price.:UInt64))'
const DURATION = 'properties.duration.:Int64'
const one = (rows: readonly (readonly unknown[])[]): unknown => rows[0]?.[0]
const numeric = (rows: readonly (readonly unknown[])[]): unknown => Number(one(rows))
const grouped = (name: string) => (rows: readonly (readonly unknown[])[]) =>
  rows.map(([group, result]) => ({ [name]: group, result }))
const views = { event_collection: 'views', timeframe }
const purchases = { event_collection: 'purchases', timeframe }
const pro = [{ property_name: 'user.plan', operator: 'eq', property_value: 'pro' }]
const price = { ...purchases, target_property: 'price' }
const aggregate = (analysis: AnalysisName, sql: string): Question => ({
  analysis,
  fields: price,
  sql: `SELECT ${sql} ${from('purchases')}`,
  result: numeric,
})

export const QUESTIONS: Readonly<Record<string, Question>> = {
  count: { analysis: 'count', fields: views, sql: `SELECT count() ${from('views')}`, result: one },
  'count, filtered': {
    analysis: 'count',
    fields: { ...views, filters: pro },
    sql: `SELECT count() ${from('views', "properties.user.plan.:String = 'pro'")}`,
    result: one,
  },
  'count, a day of 92': {
    analysis: 'count',
    fields: { ...views, timeframe: { start: '2025-12-24', end: '2025-12-25' }, filters: pro },
    sql: `SELECT count() FROM events WHERE project = '${PROJECT}' AND collection = 'views' AND timestamp >= '2025-12-24' AND timestamp < '2025-12-25' AND properties.user.plan.:String = 'pro'`,
    result: one,
  },
  'count by day': {
    analysis: 'count',
    fields: { ...views, interval: 'daily' },
    sql: `SELECT toDate(timestamp) AS d, count() ${from('views')} GROUP BY d ORDER BY d`,
    result: (rows) =>
      rows.map(([start, value], i) => ({
        value,
        timeframe: {
          start: `${String(start)}T00:00:00.000Z`,
          end: `${day(START_MS + (i + 1) * 86_400_000)}T00:00:00.000Z`,
        },
      })),
  },
  'count by country': {
    analysis: 'count',
    fields: { ...views, group_by: 'country' },
    sql: `SELECT properties.country.:String AS g, count() ${from('views')} GROUP BY g ORDER BY g`,
    result: grouped('country'),
  },
  'count by page, filtered': {
    analysis: 'count',
    fields: {
      ...views,
      group_by: 'page',
      filters: pro,
      order_by: { property_name: 'result', direction: 'DESC' },
      limit: 10,
    },
    sql: `SELECT properties.page.:String AS g, count() AS c ${from('views', "properties.user.plan.:String = 'pro'")} GROUP BY g ORDER BY c DESC, g LIMIT 10`,
    result: grouped('page'),
  },
  count_unique: {
    analysis: 'count_unique',
    fields: { ...purchases, target_property: 'user.id' },
    sql: `SELECT uniqExact(properties.user.id.:String) ${from('purchases')}`,
    result: one,
  },
  'count_unique, approximate': {
    analysis: 'count_unique',
    fields: { ...purchases, target_property: 'user.id', approximate: true },
    sql: `SELECT uniq(properties.user.id.:String) ${from('purchases')}`,
    // Estimates differ by what is hashed.
    result: (rows) => Math.round(Number(one(rows)) / 50_000),
  },
  select_unique: {
    analysis: 'select_unique',
    fields: { ...views, target_property: 'country' },
    sql: `SELECT arraySort(groupUniqArray(properties.country.:String)) ${from('views')}`,
    result: one,
  },
  minimum: aggregate('minimum', `min(${PRICE})`),
  maximum: aggregate('maximum', `max(${PRICE})`),
  sum: aggregate('sum', `sum(${PRICE})`),
  average: aggregate('average', `avg(${PRICE})`),
  standard_deviation: aggregate('standard_deviation', `stddevPopStable(${PRICE})`),
  median: aggregate('median', `quantileExact(0.4999999999)(${PRICE})`),
  'percentile, 95': {
    analysis: 'percentile',
    fields: { ...views, target_property: 'duration', percentile: 95 },
    sql: `SELECT quantileExact(0.9499999999)(${DURATION}) ${from('views')}`,
    result: numeric,
  },
  'average by country by day, filtered': {
    analysis: 'average',
    fields: { ...price, group_by: 'country', interval: 'daily', filters: pro },
    sql: `SELECT toDate(timestamp) AS d, properties.country.:String AS g, avg(${PRICE}) ${from('purchases', "properties.user.plan.:String = 'pro'")} GROUP BY d, g ORDER BY d, g`,
    result: (rows) => rows.length,
  },
  'extraction, latest 100': {
    analysis: 'extraction',
    fields: { ...views, latest: 100 },
    sql: `SELECT timestamp, created_at, id, body ${from('views')} ORDER BY timestamp DESC, id DESC LIMIT 100`,
    result: (rows) => rows.length,
  },
}

/** What the comparison of a question with its SQL looks at, for those whose rows are too many or only near. */
export const REDUCED: Readonly<Record<string, (result: unknown) => unknown>> = {
  'count_unique, approximate': (result) => Math.round(Number(result) / 50_000),
  'average by country by day, filtered': (result) =>
    (result as { value: unknown[] }[]).reduce((cells, { value }) => cells + value.length, 0),
  'extraction, latest 100': (result) => (result as unknown[]).length,
}

/** A funnel of four steps over three collections; the same user may buy several times. */
export const FUNNEL = {
  steps: [
    { event_collection: 'signups', actor_property: 'user.id', timeframe },
    { event_collection: 'views', actor_property: 'user.id', timeframe },
    { event_collection: 'purchases', actor_property: 'user.id', timeframe },
    { event_collection: 'purchases', actor_property: 'user.id', timeframe, filters: pro },
  ],
}
