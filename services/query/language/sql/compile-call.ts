import type { CallNode, ExprNode } from './ast.ts'
import { compileWindow } from './compile-window.ts'
import { combined, functionNamed, type SqlFunction } from './functions.ts'
import { shown, sqlError } from './position.ts'
import { combine, type Place, type Scope, type State, type Value } from './state.ts'

/** Functions that would take the server's time zone: UTC stands behind so many arguments. */
const ZONED: Readonly<Record<string, number>> = {
  now: 0, toDateTime: 1, toDateTime64: 2, parseDateTimeBestEffort: 1, parseDateTimeBestEffortOrNull: 1, parseDateTimeBestEffortOrZero: 1,
  fromUnixTimestamp64Milli: 1, fromUnixTimestamp64Micro: 1, fromUnixTimestamp64Nano: 1, toDateTimeOrNull: -1,
} // biome-ignore format: a table
/** Give a value of their first argument. */
const PASSING = new Set(['min', 'max', 'any', 'anyLast', 'any_value', 'first_value', 'last_value', 'argMin', 'argMax', 'lag', 'lead', 'lagInFrame', 'leadInFrame', 'nth_value', 'coalesce', 'ifNull', 'assumeNotNull', 'greatest', 'least', 'toNullable']) // biome-ignore format: a list

export function compileCall(node: CallNode, scope: Scope, where: Place, state: State): Value {
  const { at, over, filter } = node
  const found = functionNamed(node.name)
  if (found === undefined) throw sqlError(`there is no function ${shown(node.name)} here`, at)
  const refuse = (what: string): never => {
    throw sqlError(`${shown(node.name)} ${what}`, at)
  }
  const isAggregate = found.kind === 'aggregate'
  if (found.kind === 'window' && over === null) refuse('needs OVER')
  if (!isAggregate && found.kind !== 'window' && over !== null) refuse('has no OVER: it is no aggregate')
  if (!isAggregate && (node.isDistinct || filter !== null))
    refuse('has neither DISTINCT nor FILTER: it is no aggregate')
  if (node.isStar && found.name !== 'count') refuse('does not take *')
  if (node.parameters !== null && !found.isParametric) refuse('has no parameters before its arguments')
  if (over !== null && !where.allowsWindows) refuse(`with OVER cannot stand in ${where.clause}`)
  if (isAggregate && over === null) {
    if (!where.allowsAggregates) refuse(`is an aggregate, which cannot stand in ${where.clause}`)
    scope.aggregatesAt ??= at
  }
  const isFolded = isAggregate && over === null
  const inner: Place = isFolded
    ? {
        ...where,
        clause: 'the argument of an aggregate',
        seesAliases: false,
        allowsAggregates: false,
        allowsWindows: false,
      }
    : { ...where, allowsWindows: where.allowsWindows && over === null }
  const parameters = (node.parameters ?? []).map((parameter) => constantParameter(parameter, scope, inner, state))
  const args = node.args.map((arg, i) =>
    arg.kind === 'lambda' && found.kind === 'higher' && i === 0
      ? compileLambda(arg, scope, inner, state)
      : state.compile(arg, scope, inner),
  )
  if (filter !== null) args.push(state.compile(filter, scope, inner))
  const name = calledName(found, node)
  const before = parameters.length === 0 ? '' : `(${parameters.map(({ sql }) => sql).join(', ')})`
  const zone = ZONED[found.name] === args.length ? ["'UTC'"] : []
  const call = combine(args, (all) =>
    found.name === 'today'
      ? "toDate(now('UTC'))"
      : found.name === 'yesterday'
        ? "(toDate(now('UTC')) - 1)"
        : `${name}${before}(${[...all, ...zone].join(', ')})`,
  )
  const isTime = found.isTime || (PASSING.has(found.name) && args[0]?.isTime === true)
  if (over === null) return isFolded ? { sql: call.sql, isTime } : { ...call, isTime }
  const window = typeof over === 'string' ? namedWindow(over, node, scope) : compileWindow(over, scope, where, state)
  return { ...combine([call, window], ([sql, spec]) => `${sql} OVER (${spec})`), isTime }
}

function namedWindow(name: string, node: CallNode, scope: Scope): Value {
  const sql = scope.windows.get(name)
  if (sql === undefined) throw sqlError(`there is no window ${shown(name)}`, node.at)
  return { sql, isTime: false }
}

/** `count(DISTINCT x)`, `sum(x) FILTER (WHERE …)` in ClickHouse's names. */
function calledName(found: SqlFunction, { isDistinct, filter, args }: CallNode): string {
  const counted = found.name === 'count' && isDistinct && args.length > 0
  const base = counted ? 'uniqExact' : isDistinct ? combined(found, 'Distinct') : found.name
  return filter === null ? base : `${base}If`
}

function constantParameter(node: ExprNode, scope: Scope, where: Place, state: State): Value {
  if (node.kind === 'literal' || node.kind === 'parameter') return state.compile(node, scope, where)
  throw sqlError('a function’s parameter is a number or a text', node.at)
}

function compileLambda(node: ExprNode & { kind: 'lambda' }, scope: Scope, where: Place, state: State): Value {
  const names = new Map(node.names.map((name) => [name, state.fresh('x')]))
  if (names.size !== node.names.length) throw sqlError('the same name twice', node.at)
  const inside: Place = { ...where, lambdas: new Map([...where.lambdas, ...names]) }
  const list = [...names.values()]
  return combine([state.compile(node.body, scope, inside)], ([body]) => `(${list.join(', ')}) -> ${body}`)
}
