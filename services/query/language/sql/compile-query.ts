import type { ExprNode, FromNode, ItemNode, QueryNode, SelectNode } from './ast.ts'
import { BOUNDS } from './bounds.ts'
import { compileExpr } from './compile-expression.ts'
import { compileOrder, compileWindow } from './compile-window.ts'
import { type Position, shown, sqlError } from './position.ts'
import { derivedRelation, eventsRelation, type OutputColumn, type Relation, type RelationColumn } from './relations.ts'
import { columnOf } from './resolve.ts'
import { narrowTimes } from './time-range.ts'
import { type CompiledSelect, type Env, place, type Scope, type State, type Value } from './state.ts'

/** A query, or a subquery, as SQL in which every name is ours. */
export function compileQueryNode(node: QueryNode, around: Env, state: State): CompiledSelect {
  let env = around
  for (const { name, query, at } of node.ctes) {
    if (node.ctes.some((other) => other.name === name && other.at !== at)) {
      throw sqlError(`two subqueries are called ${shown(name)}`, at)
    }
    env = { ...env, ctes: new Map([...env.ctes, [name, { query, env }]]) }
  }
  const { body } = node
  if (body.kind === 'select') return compileSelect(body, node, env, state)
  const [left, right] = [compileQueryNode(body.left, env, state), compileQueryNode(body.right, env, state)]
  if (left.output.length !== right.output.length) {
    const counts = `${left.output.length} and ${right.output.length}`
    throw sqlError(
      `both sides of ${body.operator.split(' ')[0]} must have as many columns; they have ${counts}`,
      body.at,
    )
  }
  const sql = `(${left.sql})\n${body.operator}\n(${right.sql})`
  const hasTail = node.orderBy.length > 0 || node.limit !== null || node.offset !== null || node.limitBy !== null
  if (!hasTail) return { sql, output: left.output }
  const scope = createScope(env)
  const relation = derivedRelation(sql, left.output, null, state.fresh('r'))
  scope.relations.push(relation)
  const items = outputItems(starItems(relation), scope, state)
  return finish(`SELECT ${listed(items)}\nFROM ${relation.render()}`, items, node, scope, state)
}

const createScope = (env: Env): Scope => ({
  env,
  relations: [],
  merged: new Map(),
  aliases: new Map(),
  groupKeys: new Set(),
  windows: new Map(),
  aggregatesAt: null,
})

interface Item {
  readonly name: string
  readonly sqlName: string
  readonly value: Value
  readonly isNamed: boolean
}

function compileSelect(node: SelectNode, tail: QueryNode, env: Env, state: State): CompiledSelect {
  const scope = createScope(env)
  const from = node.from === null ? undefined : compileFrom(node.from, scope, state)
  const where = node.where === null ? undefined : compileExpr(node.where, scope, place('WHERE'), state)
  if (node.where !== null && node.from !== null) narrowTimes(node.where, node.from, scope, state.parameters)
  // GROUP BY first, to know what is not loose; it may name what SELECT makes.
  const groups = node.groupBy.map((expr) => compileGroup(expr, node, scope, state))
  for (const { sql } of groups) scope.groupKeys.add(sql)
  const selecting = place('SELECT', { allowsAggregates: true, allowsWindows: true })
  for (const { name, window } of node.windows) {
    scope.windows.set(name, compileWindow(window, scope, place('WINDOW', { allowsAggregates: true }), state).sql)
  }
  const drawn = node.items.flatMap((item) =>
    itemValues(item, scope, state, (expr) => compileExpr(expr, scope, selecting, state)),
  )
  if (drawn.length > BOUNDS.columns) throw sqlError(`more than ${BOUNDS.columns} columns`, node.at)
  const items = outputItems(drawn, scope, state)
  const having =
    node.having === null
      ? undefined
      : compileExpr(node.having, scope, place('HAVING', { seesAliases: true, allowsAggregates: true }), state)
  const write = (): string => {
    const parts = [`SELECT ${node.isDistinct ? 'DISTINCT ' : ''}${listed(items)}`]
    if (from !== undefined) parts.push(`FROM ${from()}`)
    if (where !== undefined) parts.push(`WHERE ${where.sql}`)
    if (groups.length > 0) {
      const list = groups.map(({ sql }) => sql).join(', ')
      parts.push(`GROUP BY ${node.grouping === 'plain' ? list : `${node.grouping}(${list})`}`)
    }
    if (having !== undefined) parts.push(`HAVING ${having.sql}`)
    return parts.join('\n')
  }
  const checked = [...items.map(({ value }) => value), ...(having === undefined ? [] : [having])]
  const order = compileTail(items, tail, scope, state)
  const isGrouped = groups.length > 0 || scope.aggregatesAt !== null || having !== undefined
  if (isGrouped) [...checked, ...order.values].forEach(refuseLoose)
  return { sql: [write(), ...order.parts].join('\n'), output: items.map(outputOf) }
}

function finish(head: string, items: readonly Item[], tail: QueryNode, scope: Scope, state: State): CompiledSelect {
  const { parts } = compileTail(items, tail, scope, state)
  return { sql: [head, ...parts].join('\n'), output: items.map(outputOf) }
}

const outputOf = ({ name, sqlName, value }: Item): OutputColumn => ({ name, sqlName, isTime: value.isTime })
const listed = (items: readonly Item[]): string =>
  items.map(({ sqlName, value }) => `${value.sql} AS ${sqlName}`).join(', ')

function refuseLoose({ loose }: Value): void {
  if (loose === undefined) return
  throw sqlError(`${shown(loose.name)} must stand in GROUP BY or inside an aggregate`, loose.at)
}

type Drawn = Pick<Item, 'name' | 'value' | 'isNamed'>

const starItems = (relation: Relation): readonly Drawn[] =>
  relation
    .star()
    .map(({ name, column }) => ({ name, value: { sql: column.sql, isTime: column.isTime }, isNamed: true }))

function itemValues(item: ItemNode, scope: Scope, _state: State, compile: (expr: ExprNode) => Value): readonly Drawn[] {
  if (item.kind === 'expr') {
    const value = compile(item.expr)
    const isColumn = item.expr.kind === 'name'
    return [
      {
        name: item.alias ?? (isColumn ? columnName(item.expr, scope) : item.text),
        value,
        isNamed: item.alias !== null,
      },
    ]
  }
  const relations =
    item.table === null ? scope.relations : scope.relations.filter((relation) => relation.name === item.table)
  if (relations.length === 0) {
    throw sqlError(item.table === null ? '* needs a FROM' : `there is no table ${shown(item.table)} here`, item.at)
  }
  return relations.flatMap((relation) =>
    starItems(relation).map((drawn) => ({
      ...drawn,
      isNamed: false,
      value: {
        ...drawn.value,
        loose: scope.groupKeys.has(drawn.value.sql) ? undefined : { at: item.at, name: drawn.name },
      },
    })),
  )
}

/** Of a bare column: its path, without the table's name. */
function columnName(expr: ExprNode, scope: Scope): string {
  if (expr.kind !== 'name') return ''
  const [first = '', ...others] = expr.segments
  const isQualified = others.length > 0 && scope.relations.some(({ name }) => name === first)
  return (isQualified ? others : expr.segments).join('.')
}

/** Names of ours for what SELECT makes; a name that comes twice gets a number. */
function outputItems(drawn: readonly Drawn[], scope: Scope, state: State): readonly Item[] {
  const taken = new Set(drawn.filter(({ isNamed }) => isNamed).map(({ name }) => name))
  const used = new Set<string>()
  return drawn.map((one) => {
    let name = one.name
    for (let n = 2; used.has(name) || (!one.isNamed && n === 2 && taken.has(name)); n++) name = `${one.name}_${n}`
    used.add(name)
    const item: Item = { ...one, name, sqlName: state.fresh('o') }
    if (!scope.aliases.has(one.name)) scope.aliases.set(one.name, item)
    return item
  })
}

/** A name of SELECT, a place in it, or an expression over the tables. */
function compileGroup(expr: ExprNode, node: SelectNode, scope: Scope, state: State): Value {
  const named =
    expr.kind === 'name' && expr.segments.length === 1
      ? node.items.find((item) => item.kind === 'expr' && item.alias === expr.segments[0])
      : undefined
  const item = named ?? placed(expr, node.items)
  if (item === undefined) return compileExpr(expr, scope, place('GROUP BY'), state)
  if (item.kind === 'star') throw sqlError('GROUP BY cannot name *', expr.at)
  return compileExpr(item.expr, scope, place('GROUP BY'), state)
}

/** `ORDER BY 2`. Throws InvalidSqlError for a place that is not there. */
function placed<T>(expr: ExprNode, items: readonly T[]): T | undefined {
  if (expr.kind !== 'literal' || typeof expr.value !== 'number') return undefined
  const item = items[expr.value - 1]
  if (item === undefined) throw sqlError(`there is no column ${expr.value} in SELECT`, expr.at)
  return item
}

function compileTail(items: readonly Item[], tail: QueryNode, scope: Scope, state: State) {
  const where = place('ORDER BY', { seesAliases: true, allowsAggregates: true, allowsWindows: true })
  const values = tail.orderBy.map((order) => {
    const item = placed(order.expr, items)
    if (item === undefined) return compileOrder([order], scope, where, state)[0]
    const nulls = order.nulls === null ? '' : ` NULLS ${order.nulls}`
    return { ...item.value, sql: `${item.sqlName} ${order.direction}${nulls}` }
  })
  const found = values.filter((value) => value !== undefined)
  const parts: string[] = []
  if (found.length > 0) parts.push(`ORDER BY ${found.map(({ sql }) => sql).join(', ')}`)
  const by = (tail.limitBy?.by ?? []).map((expr) =>
    compileExpr(expr, scope, place('LIMIT BY', { seesAliases: true }), state),
  )
  if (tail.limitBy !== null)
    parts.push(`LIMIT ${count(tail.limitBy.limit, state)} BY ${by.map(({ sql }) => sql).join(', ')}`)
  if (tail.limit !== null) parts.push(`LIMIT ${count(tail.limit, state)}`)
  if (tail.offset !== null) parts.push(`OFFSET ${count(tail.offset, state)}`)
  return { parts, values: [...found, ...by] }
}

/** A number of rows. */
function count(node: ExprNode, { parameters, binder }: State): string {
  const value = node.kind === 'literal' ? node.value : node.kind === 'parameter' ? parameters.get(node.name) : undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32)
    return binder.bind(value, 'UInt32')
  throw sqlError('LIMIT and OFFSET are whole numbers, or parameters that are', node.at)
}

type Render = () => string

function compileFrom(node: FromNode, scope: Scope, state: State): Render {
  if (node.kind !== 'join') return addRelation(node, scope, state)
  const left = compileFrom(node.left, scope, state)
  if (node.right.kind === 'join') throw sqlError('a join on the right of a join stands in a subquery', node.right.at)
  const before = [...scope.relations]
  const right = addRelation(node.right, scope, state)
  const added = scope.relations.at(-1)
  if (node.side === 'CROSS' || added === undefined) return () => `${left()}\nCROSS JOIN ${right()}`
  const on =
    node.on === null ? usingCondition(node, scope, before, added) : compileExpr(node.on, scope, place('ON'), state).sql
  const words = [node.side, node.strictness, 'JOIN'].filter((word) => word !== '').join(' ')
  return () => `${left()}\n${words} ${right()} ON ${on}`
}

function usingCondition(
  node: FromNode & { readonly kind: 'join' },
  scope: Scope,
  before: readonly Relation[],
  added: Relation,
): string {
  const conditions = (node.using ?? []).map((name) => {
    const left = columnOf(name, { ...scope, relations: [...before] })
    const right = added.column(name.segments)
    if (right === undefined) throw sqlError(`${shown(name.segments.join('.'))} is not on both sides`, name.at)
    const merged: RelationColumn =
      node.side === 'FULL'
        ? { sql: `coalesce(${left.sql}, ${right.sql})`, isTime: left.isTime }
        : node.side === 'RIGHT'
          ? right
          : left
    scope.merged.set(name.segments.join('.'), merged)
    return `equals(${left.sql}, ${right.sql})`
  })
  return conditions.length === 1 ? conditions.join('') : `and(${conditions.join(', ')})`
}

function addRelation(node: FromNode, scope: Scope, state: State): Render {
  if (node.kind === 'join') throw new Error('not a table')
  state.countTable(node.at)
  const sqlName = state.fresh('r')
  const { env } = scope
  const derived = (query: QueryNode, inside: Env, name: string | null): Relation => {
    const { sql, output } = compileQueryNode(query, inside, state)
    return derivedRelation(sql, output, name, sqlName)
  }
  let relation: Relation
  if (node.kind === 'subquery') {
    const outer = new Set([...env.outer, ...scope.relations.flatMap(({ name }) => name ?? [])])
    relation = derived(node.query, { ctes: env.ctes, outer }, node.alias)
  } else {
    const cte = env.ctes.get(node.name)
    const name = node.alias ?? node.name
    relation =
      cte === undefined
        ? eventsRelation(state.grant, node.name, name, sqlName, state.binder, state.collection(node.name, node.at))
        : derived(cte.query, { ...cte.env, outer: env.outer }, name)
  }
  checkName(relation, node.at, scope)
  scope.relations.push(relation)
  return () => relation.render()
}

function checkName({ name }: Relation, at: Position, scope: Scope): void {
  if (name !== null && scope.relations.some((other) => other.name === name)) {
    throw sqlError(`two tables are called ${shown(name)}: give one of them another name with AS`, at)
  }
}
