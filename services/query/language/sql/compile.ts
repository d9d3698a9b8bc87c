import type { Grant } from '../../../shared/registry/grant.ts'
import { type Binder, createBinder } from '../bind.ts'
import { quoteName } from '../quote.ts'
import type { QueryNode } from './ast.ts'
import { BOUNDS } from './bounds.ts'
import { compileExpr } from './compile-expression.ts'
import { compileQueryNode } from './compile-query.ts'
import type { ParameterValues } from './parameter-values.ts'
import { type Position, sqlError } from './position.ts'
import type { SeenTypes } from '../columns.ts'
import { createState, type State } from './state.ts'

export interface CompiledSql {
  readonly sql: string
  readonly params: Readonly<Record<string, unknown>>
}

/** Of a collection: where the statement names it first, and the paths of the properties that it reads. */
export interface CollectionNeed {
  readonly at: Position
  readonly paths: ReadonlySet<string>
}

const NOT_SEEN: SeenTypes = new Set()

/** The collections and properties that a statement reads. Finds every mistake that can be found without the warehouse. */
export function needsOf(
  node: QueryNode,
  grant: Grant,
  parameters: ParameterValues,
): ReadonlyMap<string, CollectionNeed> {
  const needs = new Map<string, { at: Position; paths: Set<string> }>()
  compileWith(node, grant, parameters, sharing(createBinder()), (name, at) => {
    const need = needs.get(name) ?? { at, paths: new Set<string>() }
    needs.set(name, need)
    return (path) => {
      need.paths.add(path)
      return NOT_SEEN
    }
  })
  return needs
}

/**
 * The statement for the warehouse, written from the tree alone: names of ours, functions of the list, the caller's values as
 * parameters, and under every table the grant's own rows. The caller's words stand in it as the names of the answer's
 * columns and of properties, quoted. At most `rowsMax` rows; `textColumns` of the answer, counted from 0, are made texts.
 */
export function compileSql(
  node: QueryNode,
  grant: Grant,
  parameters: ParameterValues,
  seen: (collection: string, path: string) => SeenTypes,
  rowsMax: number | null,
  textColumns: ReadonlySet<number> = new Set(),
): CompiledSql {
  const binder = sharing(createBinder())
  const inner = compileWith(node, grant, parameters, binder, (name) => (path) => seen(name, path))
  // No name of the caller's begins like ours.
  let prefix = 'w'
  while (inner.output.some(({ name }) => name.startsWith(prefix))) prefix += '_'
  const columns = inner.output.map(({ name, sqlName }, i) => {
    const column = `${prefix}.${sqlName}`
    return `${textColumns.has(i) ? `CAST(${column}, 'Nullable(String)')` : column} AS ${quoteName(name)}`
  })
  const limit = rowsMax === null ? '' : `\nLIMIT ${binder.bind(rowsMax, 'UInt32')}`
  const sql = `SELECT ${columns.join(', ')}\nFROM (${inner.sql}) AS ${prefix}${limit}`
  if (Buffer.byteLength(sql) > BOUNDS.generatedBytes)
    throw sqlError('the query is too large: it names too much', node.at)
  if (Buffer.byteLength(JSON.stringify(binder.params)) > BOUNDS.valuesBytes) {
    throw sqlError(`parameters and constants have more than ${BOUNDS.valuesBytes} bytes`, node.at)
  }
  return { sql, params: binder.params }
}

function compileWith(
  node: QueryNode,
  grant: Grant,
  parameters: ParameterValues,
  binder: Binder,
  collection: State['collection'],
) {
  const state = createState({ grant, parameters, binder, collection }, { expr: compileExpr, query: compileQueryNode })
  return compileQueryNode(node, { ctes: new Map(), outer: new Set() }, state)
}

/** The same value twice is one parameter, so that the same expression is the same text. */
function sharing(binder: Binder): Binder {
  const known = new Map<string, string>()
  return {
    params: binder.params,
    bind(value, type) {
      const key = `${type} ${JSON.stringify(Object.is(value, -0) ? '-0' : value)}`
      const placeholder = known.get(key) ?? binder.bind(value, type)
      known.set(key, placeholder)
      return placeholder
    },
  }
}
