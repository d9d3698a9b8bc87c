import { AppError } from '../../shared/errors.ts'
import { isObject, type JsonObject, type JsonValue } from './exact-json.ts'
import { type KnownColumns, NO_COLUMNS } from './format.ts'
import type { RestReason } from './kept.ts'
import { NO_KINDS, kindOf } from './value-kind.ts'

/** `keen`'s own three come first in every file. */
export const KEEN_COLUMNS = ['keen.timestamp', 'keen.created_at', 'keen.id'] as const
/** Holds, as JSON text of an object, what of an event has no column. Only there when something needs it. */
export const REST_COLUMN = '_rest'

/** A column costs memory for as long as the file is written, and thousands of columns are more than readers like. */
export const COLUMNS_MAX = 2_000
/** Names on a path. What is below is JSON text. */
export const DEPTH_MAX = 10

/** One property path of a file. */
export interface PropertyColumn {
  /** The path's names with dots between; halves of surrogate pairs are U+FFFD. */
  readonly name: string
  /** Of all its values in the file, as in `value-kind.ts`. */
  kinds: number
}

interface PathNode {
  readonly below: Map<string, PathNode>
  column: PropertyColumn | undefined
}

/** What an event has: values that have a column, and the others, which belong into `_rest`. */
export interface PropertyVisitor {
  readonly value: (column: PropertyColumn, value: JsonValue) => void
  /** `path` is only good during the call. */
  readonly rest: (path: readonly string[], value: JsonValue, reason: RestReason) => void
}

/**
 * The columns of a file: those that are known, and those learned from all its events before the first is written. A path
 * of the properties is a column of its dotted name: `user.plan`. A property that is an object in one event and something else in another has both its own
 * column and those below it. Null is as if the property were missing. An empty object is a value.
 *
 * A path has no column, and goes to `_rest`, when a name on it is empty, when its dotted name is taken (by `keen`'s own
 * columns, by `_rest`, or by another path that came first: `{"a.b":1,"a":{"b":2}}`), or when there are 2,000 others.
 */
export class PropertyColumns {
  readonly #root: PathNode = newNode()
  readonly #names = new Set<string>([...KEEN_COLUMNS, REST_COLUMN])
  readonly #columns: PropertyColumn[] = []
  /** Known ones that no event had so far. */
  readonly #known: Map<string, PropertyColumn>
  #hasRest = false

  constructor(known: KnownColumns = NO_COLUMNS) {
    const usable = [...known].filter(([name]) => name !== '' && name === name.toWellFormed() && !this.#names.has(name))
    this.#known = new Map(usable.slice(0, COLUMNS_MAX).map(([name, kinds]) => [name, { name, kinds }]))
  }

  /** Sorted by the code points of their names. */
  get columns(): readonly PropertyColumn[] {
    return [...this.#columns, ...this.#known.values()].toSorted((a, b) =>
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
    )
  }

  get hasRest(): boolean {
    return this.#hasRest
  }

  learn(properties: JsonObject): void {
    walk(properties, this.#root, [], (node, path, value) => {
      const column = node?.column ?? this.#newColumn(path)
      if (column === undefined) this.#hasRest = true
      else column.kinds |= kindOf(value)
    })
  }

  /** Goes through an event that was learned before. Throws InternalServerError on one that has something new. */
  visit(properties: JsonObject, visitor: PropertyVisitor): void {
    walk(properties, this.#root, [], (node, path, value) => {
      if (node?.column !== undefined) {
        if ((node.column.kinds & kindOf(value)) === 0) throw changedBetweenPasses()
        visitor.value(node.column, value)
        return
      }
      const reason = this.#withoutColumn(path)
      if (reason === undefined || !this.#hasRest) throw changedBetweenPasses()
      visitor.rest(path, value, reason)
    })
  }

  #withoutColumn(path: readonly string[]): RestReason | undefined {
    if (path.includes('')) return 'unnamed'
    if (this.#names.has(nameOf(path))) return 'collision'
    const isFull = this.#columns.length + this.#known.size >= COLUMNS_MAX && !this.#known.has(nameOf(path))
    return isFull ? 'too_many_columns' : undefined
  }

  #newColumn(path: readonly string[]): PropertyColumn | undefined {
    if (this.#withoutColumn(path) !== undefined) return undefined
    const name = nameOf(path)
    const column = this.#known.get(name) ?? { name, kinds: NO_KINDS }
    this.#known.delete(name)
    let node = this.#root
    for (const part of path) {
      const below = node.below.get(part) ?? newNode()
      node.below.set(part, below)
      node = below
    }
    node.column = column
    this.#names.add(column.name)
    this.#columns.push(column)
    return column
  }
}

const newNode = (): PathNode => ({ below: new Map(), column: undefined })
const nameOf = (path: readonly string[]): string => path.join('.').toWellFormed()

/** A file of columns that were learned from other events would say something that is not so. */
export const changedBetweenPasses = (): AppError =>
  new AppError('InternalServerError', 'The events of a file were not the same when they were read again.')

function walk(
  object: JsonObject,
  node: PathNode | undefined,
  path: string[],
  visit: (node: PathNode | undefined, path: readonly string[], value: JsonValue) => void,
): void {
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (value === undefined || value === null) continue
    const below = node?.below.get(name)
    path.push(name)
    if (path.length < DEPTH_MAX && isObject(value) && hasNames(value)) walk(value, below, path, visit)
    else visit(below, path, value)
    path.pop()
  }
}

function hasNames(object: JsonObject): boolean {
  for (const _ in object) return true
  return false
}
