import { decodeKey, type JsonScalar } from './json-values.ts'
import type { GroupNode, Range } from './tree.ts'

/** A group's value as an answer shows it, and what it is sorted by: labels of buckets sort by their numbers. */
export interface GroupValue {
  readonly shown: JsonScalar
  readonly sortKey: JsonScalar
}

/** Turns the key that `compileGroup`'s SQL gave back into the group's value. */
export function groupValue(node: GroupNode, key: string): GroupValue {
  if (key === '') return { shown: null, sortKey: null }
  switch (node.kind) {
    case 'value': {
      const value = decodeKey(key)
      return { shown: value, sortKey: value }
    }
    case 'buckets': {
      const index = Number(key)
      return { shown: label({ from: index * node.size, to: (index + 1) * node.size }), sortKey: index }
    }
    case 'ranges': {
      const index = Number(key)
      const range = node.ranges[index]
      return { shown: range === undefined ? null : label(range), sortKey: index }
    }
    default:
      return node satisfies never
  }
}

/** "0 - 10"; a missing bound leaves its side empty. Twelve digits hide what binary fractions add. */
const label = (range: Range): string => `${bound(range.from)} - ${bound(range.to)}`.trim()
const bound = (value: number | null): string => (value === null ? '' : String(Number(value.toPrecision(12))))
