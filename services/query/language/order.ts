import { AppError } from '../../shared/errors.ts'
import type { GroupNode, OrderNode } from './tree.ts'

/** An object, an array of them, or a name; of a group, or of what was computed (`results`). Throws InvalidOrderByError. */
export function parseOrderBy(
  value: unknown,
  groupBy: readonly GroupNode[],
  results: readonly string[] = ['result'],
): readonly OrderNode[] {
  if (value === undefined || value === null || value === '') return []
  const items: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (items.length === 0) return []
  if (groupBy.length === 0) throw invalid('order_by needs group_by')
  if (items.length > groupBy.length + results.length) throw invalid('order_by must name each property at most once')
  return items.map((item, i) =>
    parseOrder(item, Array.isArray(value) ? `order_by[${i}]` : 'order_by', groupBy, results),
  )
}

function parseOrder(
  item: unknown,
  field: string,
  groupBy: readonly GroupNode[],
  results: readonly string[],
): OrderNode {
  const { property_name, direction } = (typeof item === 'string' ? { property_name: item } : Object(item)) as Readonly<
    Record<string, unknown>
  >
  const place = groupBy.findIndex((group) => group.property.name === property_name)
  const measure = results.findIndex((name) => name === property_name)
  if (place === -1 && measure === -1) {
    const names = results.length === 1 ? results.join('') : 'a label of analyses'
    throw invalid(`${field}.property_name must be ${names} or a property of group_by`)
  }
  const word = typeof direction === 'string' ? direction.toUpperCase() : (direction ?? 'ASC')
  if (word !== 'ASC' && word !== 'DESC') throw invalid(`${field}.direction must be ASC or DESC`)
  return { by: place === -1 ? { measure } : { group: place }, descending: word === 'DESC' }
}

/** A whole number from 1; needs an order, as the first of an unordered lot are any. Throws InvalidRequestFieldError. */
export function parseLimit(value: unknown, orderBy: readonly OrderNode[]): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new AppError('InvalidRequestFieldError', 'limit must be a whole number from 1.')
  }
  if (orderBy.length === 0) throw new AppError('InvalidRequestFieldError', 'limit needs order_by.')
  return value
}

const invalid = (message: string): AppError => new AppError('InvalidOrderByError', `${message}.`)
