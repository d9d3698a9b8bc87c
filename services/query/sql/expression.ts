import type { Binder, BoundType } from '../language/bind.ts'
import type { Bound, Expr, Order, Query, Window } from './ast.ts'
import type { Compiled, CompiledQuery, OutputColumn, Source, ValueKind } from './compiled.ts'
import { knownFunction, knownType } from './functions.ts'
import { type Position, sqlError } from './tokens.ts'

/** Where an expression stands: what it can see. */
export interface Scope {
  readonly sources: readonly Source[]
  /** Columns of the same SELECT, by alias; only where SQL lets them be named. */
  readonly aliases: ReadonlyMap<string, OutputColumn>
  /** A lambda's arguments, by the caller's names. */
  readonly bound: ReadonlyMap<string, string>
}

export interface ExpressionContext {
  readonly binder: Binder
  readonly parameters: Readonly<Record<string, unknown>>
  /** A name of ours that nothing else in the statement has. */
  readonly unique: (prefix: string) => string
  readonly subquery: (query: Query) => CompiledQuery
}

const other = (sql: string): Compiled => ({ sql, kind: 'other' })

/** SQL of an expression. Throws InvalidSqlError with its place. */
export function compileExpr(expr: Expr, scope: Scope, context: ExpressionContext): Compiled {
  const visit = (inner: Expr, within: Scope = scope): string => compileExpr(inner, within, context).sql
  switch (expr.kind) {
    case 'text':
      return { sql: context.binder.bind(expr.value, 'String'), kind: 'text' }
    case 'number':
      return { sql: numberText(expr.value, expr), kind: 'number' }
    case 'constant':
      return expr.value === 'NULL' ? other('NULL') : { sql: expr.value, kind: 'bool' }
    case 'parameter':
      return parameter(expr, context)
    case 'column':
      return column(expr.path, expr, scope)
    case 'star':
      throw sqlError(expr, '* stands alone in SELECT, or in count(*)')
    case 'call':
      return call(expr, scope, context)
    case 'lambda':
      throw sqlError(expr, 'a lambda is an argument of an array function')
    case 'unary':
      return expr.operator === 'NOT'
        ? { sql: `(NOT ${visit(expr.value)})`, kind: 'bool' }
        : { sql: `(- ${visit(expr.value)})`, kind: 'number' }
    case 'binary':
      return binary(expr.operator, visit(expr.left), visit(expr.right))
    case 'isNull':
      return { sql: `(${visit(expr.value)} IS ${expr.negated ? 'NOT ' : ''}NULL)`, kind: 'bool' }
    case 'between': {
      const text = `${visit(expr.value)} ${expr.negated ? 'NOT ' : ''}BETWEEN ${visit(expr.low)} AND ${visit(expr.high)}`
      return { sql: `(${text})`, kind: 'bool' }
    }
    case 'in':
      return { sql: inList(expr, visit, context), kind: 'bool' }
    case 'case': {
      const branches = expr.branches.map(([when, then]) => {
        const condition = expr.of === null ? visit(when) : `(${visit(expr.of)} = ${visit(when)})`
        return `WHEN ${condition} THEN ${visit(then)}`
      })
      return other(`CASE ${branches.join(' ')} ELSE ${expr.otherwise === null ? 'NULL' : visit(expr.otherwise)} END`)
    }
    case 'cast':
      return cast(compileExpr(expr.value, scope, context), expr.type, expr)
    case 'interval': {
      const unit = `${expr.unit.slice(0, 1)}${expr.unit.slice(1).toLowerCase()}`
      return other(`toInterval${unit}(${visit(expr.value)})`)
    }
    case 'array':
      return { sql: `[${expr.items.map((item) => visit(item)).join(', ')}]`, kind: 'compound' }
    case 'tuple':
      return { sql: `tuple(${expr.items.map((item) => visit(item)).join(', ')})`, kind: 'compound' }
    case 'element':
      return other(`arrayElement(${visit(expr.value)}, ${visit(expr.index)})`)
    case 'subquery':
      return other(oneColumn(expr.query, expr, context))
    default:
      return expr satisfies never
  }
}

/** Whole numbers stay whole. Nothing but digits, a point and an exponent gets here. */
function numberText(text: string, at: Position): string {
  if (!/^[0-9.]+(?:[eE][+-]?[0-9]{1,3})?$/.test(text) || text.length > 30) throw sqlError(at, 'this is no number')
  return text.startsWith('.') ? `0${text}` : text
}

function column(path: readonly string[], at: Position, scope: Scope): Compiled {
  const [first = '', ...rest] = path
  const bound = path.length === 1 ? scope.bound.get(first) : undefined
  if (bound !== undefined) return other(bound)
  const alias = path.length === 1 ? scope.aliases.get(first) : undefined
  if (alias !== undefined) return { sql: alias.id, kind: alias.kind }
  const named = scope.sources.find((source) => source.name === first)
  if (named !== undefined && rest.length > 0) {
    const found = named.column(rest, at)
    if (found !== undefined) return found
    throw sqlError(at, `${named.name} has no column ${rest.join('.')}`)
  }
  const [only, ...others] = scope.sources
  if (only === undefined) throw sqlError(at, 'there is no table here that could have this column')
  if (others.length > 0)
    throw sqlError(at, 'several tables are here: write the table’s name and a dot before the column')
  const found = only.column(path, at)
  if (found === undefined) throw sqlError(at, `there is no column ${path.join('.')}`)
  return found
}

function binary(operator: string, left: string, right: string): Compiled {
  if (operator === '||') return { sql: `concat(toString(${left}), toString(${right}))`, kind: 'text' }
  const kind: ValueKind = ['+', '-'].includes(operator)
    ? 'other'
    : ['*', '/', '%'].includes(operator)
      ? 'number'
      : 'bool'
  return { sql: `(${left} ${operator} ${right})`, kind }
}

function inList(expr: Expr & { kind: 'in' }, visit: (inner: Expr) => string, context: ExpressionContext): string {
  const operator = expr.negated ? 'NOT IN' : 'IN'
  const { list } = expr
  if (!isList(list)) return `(${visit(expr.value)} ${operator} ${oneColumn(list, expr, context)})`
  if (list.length === 0) return expr.negated ? 'true' : 'false'
  return `(${visit(expr.value)} ${operator} (${list.map((item) => visit(item)).join(', ')}))`
}
const isList = (list: readonly Expr[] | Query): list is readonly Expr[] => Array.isArray(list)

function oneColumn(query: Query, at: Position, context: ExpressionContext): string {
  const { sql, columns } = context.subquery(query)
  if (columns.length !== 1) throw sqlError(at, 'a subquery here gives one column')
  return `(${sql})`
}

function call(expr: Expr & { kind: 'call' }, scope: Scope, context: ExpressionContext): Compiled {
  const known = knownFunction(expr.name)
  if (known === undefined)
    throw sqlError(expr, `${expr.name.slice(0, 64)} is not among the functions that may be called`)
  if (known.kind === 'window' && expr.over === null) throw sqlError(expr, `${known.name} needs OVER (…)`)
  if (known.kind === 'scalar' && expr.over !== null) throw sqlError(expr, `${known.name} takes no OVER`)
  if (expr.parameters.length > 0 && !known.isParametric) throw sqlError(expr, `${known.name} takes no parameters`)
  const parameters = expr.parameters.map((value) => {
    if (value.kind !== 'number') throw sqlError(value, 'a parameter of an aggregate is a number')
    return numberText(value.value, value)
  })
  const args = expr.args.flatMap((arg) => {
    if (arg.kind === 'star') {
      if (known.name === 'count' && expr.args.length === 1) return []
      throw sqlError(arg, '* is an argument of count alone')
    }
    return [arg.kind === 'lambda' ? lambda(arg, scope, context) : compileExpr(arg, scope, context).sql]
  })
  let { name } = known
  if (expr.isDistinct) {
    if (name !== 'count' || args.length === 0) throw sqlError(expr, 'DISTINCT is for count(DISTINCT …)')
    name = 'uniqExact'
  }
  const brackets = parameters.length === 0 ? '' : `(${parameters.join(', ')})`
  const over = expr.over === null ? '' : ` OVER (${windowSql(expr.over, scope, context)})`
  const written = OWN_WORDS[name]?.(args) ?? `${name}${brackets}(${args.join(', ')})`
  return { sql: `${written}${over}`, kind: givesCompound(name) ? 'compound' : (KIND_OF[name] ?? 'other') }
}

/** Functions whose answer would depend on where the server's clock thinks it is. */
const OWN_WORDS: Readonly<Record<string, (args: readonly string[]) => string | undefined>> = {
  now: () => `now('UTC')`,
  today: () => `toDate32(now('UTC'))`,
  yesterday: () => `(toDate32(now('UTC')) - 1)`,
  toDateTime: (args) => (args.length === 1 ? `toDateTime64(${args.join('')}, 3, 'UTC')` : undefined),
}

const KIND_OF: Readonly<Record<string, ValueKind>> = {
  count: 'number',
  uniqExact: 'number',
  uniq: 'number',
  now: 'moment',
}
const COMPOUND =
  /^(?:array(?!Sum|Avg|Min|Max|Count|Exists|All|Uniq|StringConcat|Element|Join|First|Last)|group(?:Uniq)?Array|splitBy|extractAll|topK|quantiles|range$|tuple$|simpleLinear)/
const givesCompound = (name: string): boolean => COMPOUND.test(name)

function lambda(expr: Expr & { kind: 'lambda' }, scope: Scope, context: ExpressionContext): string {
  const names = expr.names.map((name) => [name, context.unique('l')] as const)
  const inner = { ...scope, bound: new Map([...scope.bound, ...names]) }
  return `(${names.map(([, id]) => id).join(', ')}) -> ${compileExpr(expr.body, inner, context).sql}`
}

function windowSql(window: Window, scope: Scope, context: ExpressionContext): string {
  const parts: string[] = []
  if (window.partitionBy.length > 0) {
    parts.push(`PARTITION BY ${window.partitionBy.map((one) => compileExpr(one, scope, context).sql).join(', ')}`)
  }
  if (window.orderBy.length > 0) {
    parts.push(
      `ORDER BY ${window.orderBy.map((one) => orderSql(one, compileExpr(one.expr, scope, context).sql)).join(', ')}`,
    )
  }
  if (window.frame !== null) {
    const { unit, from, to } = window.frame
    parts.push(`${unit} BETWEEN ${boundSql(from)} AND ${boundSql(to)}`)
  }
  return parts.join(' ')
}

export const orderSql = ({ descending, nulls }: Order, sql: string): string =>
  `${sql} ${descending ? 'DESC' : 'ASC'}${nulls === null ? '' : ` NULLS ${nulls}`}`

function boundSql(bound: Bound): string {
  if (bound === 0) return 'CURRENT ROW'
  const count = Number.isFinite(bound) ? String(Math.abs(bound)) : 'UNBOUNDED'
  return `${count} ${bound < 0 ? 'PRECEDING' : 'FOLLOWING'}`
}

/** What cannot be cast is null. */
function cast(value: Compiled, spelling: string, at: Position): Compiled {
  const type = knownType(spelling)
  if (type === undefined)
    throw sqlError(at, `${spelling.slice(0, 64)} is not among the types that a value may be cast to`)
  const text = `toString(${value.sql})`
  switch (type) {
    case 'String':
      return { sql: text, kind: 'text' }
    case 'Float64':
      return { sql: `toFloat64OrNull(${text})`, kind: 'number' }
    case 'Int64':
      return {
        sql: value.kind === 'number' ? `accurateCastOrNull(trunc(${value.sql}), 'Int64')` : `toInt64OrNull(${text})`,
        kind: 'number',
      }
    case 'Bool':
      return { sql: `accurateCastOrNull(${text}, 'Bool')`, kind: 'bool' }
    case 'Date32':
      return value.kind === 'moment'
        ? { sql: `toDate32(${value.sql})`, kind: 'moment' }
        : { sql: `toDate32(parseDateTime64BestEffortOrNull(${text}, 3, 'UTC'))`, kind: 'moment' }
    default:
      return value.kind === 'moment'
        ? value
        : { sql: `parseDateTime64BestEffortOrNull(${text}, 3, 'UTC')`, kind: 'moment' }
  }
}

function parameter(expr: Expr & { kind: 'parameter' }, { parameters, binder }: ExpressionContext): Compiled {
  const type = knownType(expr.type)
  if (type === undefined) throw sqlError(expr, `${expr.type.slice(0, 64)} is not among the types of parameters`)
  if (!Object.hasOwn(parameters, expr.name)) throw sqlError(expr, `the parameter ${expr.name} is not given`)
  const value = parameters[expr.name]
  const wrong = (what: string) => sqlError(expr, `the parameter ${expr.name} must be ${what}`)
  const bound = (to: BoundType): string => binder.bind(value, to)
  switch (type) {
    case 'Float64':
      if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong('a number')
      return { sql: bound('Float64'), kind: 'number' }
    case 'Int64':
      if (!Number.isSafeInteger(value)) throw wrong('a whole number')
      return { sql: bound('Int64'), kind: 'number' }
    case 'Bool':
      if (typeof value !== 'boolean') throw wrong('true or false')
      return { sql: bound('Bool'), kind: 'bool' }
    default:
      if (typeof value !== 'string' || value.length > 65_536) throw wrong('a text')
      if (type === 'String') return { sql: bound('String'), kind: 'text' }
      return cast({ sql: bound('String'), kind: 'text' }, expr.type, expr)
  }
}
