import type { ExprNode } from './ast.ts'
import { compileCall } from './compile-call.ts'
import { intervalNamed } from './functions.ts'
import { constant, constantList, moment, parameter } from './parameter-values.ts'
import { type Position, shown, sqlError } from './position.ts'
import { resolveName } from './resolve.ts'
import { combine, innerEnv, type Place, type Scope, type State, type Value } from './state.ts'
import { castName, typeNamed } from './types.ts'

const COMPARISONS = new Set([
  'equals',
  'notEquals',
  'less',
  'lessOrEquals',
  'greater',
  'greaterOrEquals',
  'isNotDistinctFrom',
])

/** An expression as SQL. What is the same as something in GROUP BY has no loose columns. */
export function compileExpr(node: ExprNode, scope: Scope, where: Place, state: State): Value {
  const value = compileNode(node, scope, where, state)
  return value.loose !== undefined && scope.groupKeys.has(value.sql) ? { ...value, loose: undefined } : value
}

function compileNode(node: ExprNode, scope: Scope, where: Place, state: State): Value {
  const { binder } = state
  const compile = (child: ExprNode): Value => compileExpr(child, scope, where, state)
  switch (node.kind) {
    case 'name':
      return resolveName(node, scope, where)
    case 'literal':
      return constant(node.value, binder)
    case 'parameter':
      return parameter(node.name, node.type, node.at, state.parameters, binder)
    case 'call':
      return compileCall(node, scope, where, state)
    case 'operator':
      return compileOperator(node, node.args.map(compile), state)
    case 'interval': {
      const name = intervalNamed(node.unit)
      if (name === undefined) throw sqlError(`${shown(node.unit)} is no unit of time`, node.at)
      return { ...combine([compile(node.count)], ([count]) => `${name}(${count})`), isInterval: true }
    }
    case 'cast':
      return compileCast(node, compile(node.expr), state)
    case 'case': {
      const of = node.of === null ? undefined : compile(node.of)
      const values = node.branches.flatMap(({ when, value }) => {
        const condition = compile(when)
        const matched = of === undefined ? condition : compare('equals', of, condition, when.at, state)
        return [matched, compile(value)]
      })
      const otherwise = node.otherwise === null ? constant(null, binder) : compile(node.otherwise)
      const isTime = values[1]?.isTime === true
      return { ...combine([...values, otherwise], (all) => `multiIf(${all.join(', ')})`), isTime }
    }
    case 'in':
      return compileIn(node, scope, where, state)
    case 'subquery':
    case 'exists': {
      const query = state.compileQuery(node.query, innerEnv(scope))
      if (node.kind === 'exists') return { sql: `exists(${query.sql})`, isTime: false }
      if (query.output.length !== 1) throw sqlError('a subquery in an expression has one column', node.at)
      return { sql: `(${query.sql})`, isTime: query.output[0]?.isTime === true }
    }
    case 'lambda':
      throw sqlError('x -> … stands as the first argument of a function over arrays only', node.at)
    default:
      return node satisfies never
  }
}

function compileOperator(
  node: ExprNode & { readonly kind: 'operator' },
  values: readonly Value[],
  state: State,
): Value {
  const [left, right] = values
  if (COMPARISONS.has(node.name) && left !== undefined && right !== undefined) {
    return compare(node.name, left, right, node.at, state)
  }
  const isTime =
    (node.name === 'plus' || node.name === 'minus') && values.some((v) => v.isTime) && values.some((v) => v.isInterval)
  return { ...combine(values, (all) => `${node.name}(${all.join(', ')})`), isTime }
}

/** A text that is compared with a time is one. */
function compare(name: string, left: Value, right: Value, at: Position, state: State): Value {
  const as = (value: Value, other: Value): Value =>
    other.isTime && value.text !== undefined ? moment(value.text, at, state.binder) : value
  return combine([as(left, right), as(right, left)], (all) =>
    name === 'isNotDistinctFrom' ? `isNotDistinctFrom(${all.join(', ')})` : `${name}(${all.join(', ')})`,
  )
}

function compileCast(node: ExprNode & { readonly kind: 'cast' }, value: Value, { binder }: State): Value {
  const type = typeNamed(node.type)
  if (type === undefined) throw sqlError(`${shown(node.type)} is no type that is known here`, node.at)
  const isTime = !type.isArray && type.name.startsWith('Date')
  if (isTime && value.text !== undefined) {
    const time = moment(value.text, node.at, binder)
    return type.name === 'Date32' ? { ...time, sql: `toDate32(${time.sql})` } : time
  }
  const direct = value.readAs?.(type)
  if (direct !== undefined) {
    const sql = type.name === 'Date32' ? `toDate32(${direct})` : direct
    return { sql, isTime, loose: value.loose }
  }
  if (node.isTry && type.isArray) throw sqlError('TRY_CAST is for types that are no lists', node.at)
  const cast = ([sql]: readonly string[]): string =>
    node.isTry ? `accurateCastOrNull(${sql}, ${typeText(type.name)})` : `CAST(${sql}, ${typeText(castName(type))})`
  return { ...combine([value], cast), isTime }
}

/** One of our own names of types, in quotes. */
const typeText = (name: string): string => `'${name.replaceAll("'", "\\'")}'`

function compileIn(node: ExprNode & { readonly kind: 'in' }, scope: Scope, where: Place, state: State): Value {
  const left = compileExpr(node.left, scope, where, state)
  const negated = (value: Value): Value => (node.isNot ? { ...value, sql: `not(${value.sql})` } : value)
  const { right } = node
  if ('body' in right && 'ctes' in right) {
    const query = state.compileQuery(right, innerEnv(scope))
    const wanted = node.left.kind === 'operator' && node.left.name === 'tuple' ? node.left.args.length : 1
    if (query.output.length !== wanted) throw sqlError(`the subquery of IN must have ${wanted} columns`, node.at)
    return combine([left], ([sql]) => `${node.isNot ? 'notIn' : 'in'}(${sql}, (${query.sql}))`)
  }
  if (!Array.isArray(right)) {
    const list = compileExpr(right as ExprNode, scope, where, state)
    return negated(combine([list, left], (all) => `has(${all.join(', ')})`))
  }
  const items = right as readonly ExprNode[]
  const literals = items.map((item) => (item.kind === 'literal' ? item.value : undefined))
  const list = left.isTime ? undefined : constantList(literals, state.binder)
  if (list !== undefined) return combine([left], ([sql]) => `${node.isNot ? 'notIn' : 'in'}(${sql}, ${list})`)
  const equal = items.map((item) => compare('equals', left, compileExpr(item, scope, where, state), item.at, state))
  return negated(combine(equal, (all) => (all.length === 1 ? all.join('') : `or(${all.join(', ')})`)))
}
