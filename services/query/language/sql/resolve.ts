import type { NameNode } from './ast.ts'
import { shown, sqlError } from './position.ts'
import type { RelationColumn } from './relations.ts'
import type { Place, Scope, Value } from './state.ts'

/** What a name means where it stands. Throws InvalidSqlError. */
export function resolveName(node: NameNode, scope: Scope, where: Place): Value {
  const { segments, at } = node
  const [first = '', ...others] = segments
  const name = segments.join('.')
  if (others.length === 0) {
    const lambda = where.lambdas.get(first)
    if (lambda !== undefined) return { sql: lambda, isTime: false }
    const alias = where.seesAliases ? scope.aliases.get(first) : undefined
    if (alias !== undefined) return { ...alias.value, sql: alias.sqlName }
  }
  const column = columnOf(node, scope)
  const { sql, isTime, readAs } = column
  const loose = scope.groupKeys.has(sql) ? undefined : { at, name }
  return { sql, isTime, loose, ...(readAs !== undefined && { readAs }) }
}

/** The column of a table of this FROM. */
export function columnOf({ segments, at }: NameNode, scope: Scope): RelationColumn {
  const [first = '', ...others] = segments
  const name = segments.join('.')
  const fail = (message: string): never => {
    throw sqlError(message, at)
  }
  if (others.length > 0) {
    const table = scope.relations.find((relation) => relation.name === first)
    if (table !== undefined) {
      return table.column(others) ?? fail(`${shown(first)} has no column ${shown(others.join('.'))}`)
    }
    if (scope.env.outer.has(first)) {
      fail(`${shown(first)} is a table of the query around this one, which a subquery cannot look at`)
    }
  }
  const merged = scope.merged.get(name)
  if (merged !== undefined) return merged
  const closed = scope.relations.filter((relation) => !relation.isOpen && relation.column(segments) !== undefined)
  const candidates = [...closed, ...scope.relations.filter(({ isOpen }) => isOpen)]
  const [only] = candidates
  if (only === undefined) return fail(`there is no column ${shown(name)} here`)
  if (candidates.length > 1) fail(`${shown(name)} may be of several tables: put the table’s name and a dot before it`)
  return only.column(segments) ?? fail(`there is no column ${shown(name)} here`)
}
