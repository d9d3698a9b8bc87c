import type { Binder } from './bind.ts'

/**
 * SQL for the bucket of the moment in `column`, an integer that `bucketIndex` understands. Buckets of one width are a
 * division; others (months, days on which a clock is put back) are looked up among their edges.
 */
export function bucketSql(column: string, edges: readonly number[], binder: Binder): string {
  const ms = `toUnixTimestamp64Milli(${column})`
  const even = evenBuckets(edges)
  return even === undefined
    ? `roundDown(${ms}, ${binder.bind(edges.slice(0, -1), 'Array(Int64)')})`
    : `intDiv(${ms} - ${binder.bind(even.originMs, 'Int64')}, ${binder.bind(even.widthMs, 'Int64')})`
}

/** From what `bucketSql` gave back to the place of the bucket. */
export function bucketIndex(edges: readonly number[]): (value: number) => number {
  if (evenBuckets(edges) !== undefined) return (value) => value
  const places = new Map(edges.map((edge, i) => [edge, i]))
  return (value) => places.get(value) ?? -1
}

/** Width and origin when all buckets are alike; the first and the last may be cut short by the timeframe. */
function evenBuckets(edges: readonly number[]): { readonly originMs: number; readonly widthMs: number } | undefined {
  const [first = 0, second = 0] = edges
  const last = edges.at(-1) ?? 0
  const beforeLast = edges.at(-2) ?? 0
  if (edges.length <= 2) return { originMs: first, widthMs: Math.max(1, last - first) }
  const third = edges[2] ?? last
  const widthMs = edges.length === 3 ? Math.max(second - first, third - second) : third - second
  const isEven = edges.every((edge, i) => i < 2 || i === edges.length - 1 || edge - (edges[i - 1] ?? 0) === widthMs)
  return isEven && second - first <= widthMs && last - beforeLast <= widthMs
    ? { originMs: second - widthMs, widthMs }
    : undefined
}

/** The way back: what `bucketSql` gives for the bucket at a place. */
export function bucketValue(edges: readonly number[]): (place: number) => number {
  if (evenBuckets(edges) !== undefined) return (place) => place
  return (place) => edges[place] ?? -1
}
