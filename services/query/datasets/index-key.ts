import type { Row } from '../language/shape.ts'
import type { IndexValue, IndexValues } from './definition.ts'
import type { Cell } from './cells.ts'

/**
 * Under which a value's cells are kept: the keys by which the query groups (`keysOf` in `language/values.ts`). Undefined for
 * numbers that the warehouse may print in another way: they are not looked up.
 */
export function indexKey(values: IndexValues): string | undefined {
  const keys = values.map(keyOf)
  return keys.every((key) => key !== undefined) ? JSON.stringify(keys) : undefined
}

function keyOf(value: IndexValue): string | undefined {
  if (typeof value === 'string') return `"${value}`
  if (typeof value === 'boolean') return String(value)
  return Number.isSafeInteger(value) ? String(value + 0) : undefined
}

/**
 * Rows of a query that groups by `indexes` properties before all others, as cells: `bucketMs` tells where the interval of a
 * row's first value begins. Events without one of the properties are of no cell.
 */
export function* cellsOf(rows: readonly Row[], indexes: number, bucketMs: (value: number) => number): Generator<Cell> {
  const cells = Map.groupBy(rows, (row) => JSON.stringify(row.slice(0, 1 + indexes)))
  for (const [id, inCell] of cells) {
    const [bucket, ...keys] = JSON.parse(id) as [number | string, ...string[]]
    if (keys.includes('')) continue
    yield {
      key: JSON.stringify(keys),
      bucketMs: bucketMs(Number(bucket)),
      rows: inCell.map((row) => row.slice(1 + indexes)),
    }
  }
}
