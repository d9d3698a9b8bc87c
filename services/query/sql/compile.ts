import type { Grant } from '../../shared/registry/grant.ts'
import { type Binder, createBinder } from '../language/bind.ts'
import { quoteName } from '../language/quote.ts'
import type { Expr, From, Order, Query, Select, SetNode } from './ast.ts'
import { collectionSource, type PropertyTypes } from './collection-source.ts'
import type { Compiled, CompiledQuery, OutputColumn, Source } from './compiled.ts'
import { compileExpr, type ExpressionContext, orderSql, type Scope } from './expression.ts'
import { type Position, sqlError } from './tokens.ts'

/** Of tables and subqueries in one statement; a CTE counts each time it is selected from. */
const SOURCES_MAX = 50
const ROWS_MAX = 1_000_000_000

export interface CompiledSql {
  readonly sql: string
  readonly params: Readonly<Record<string, unknown>>
  /** As the answer has them, in order. */
  readonly names: readonly string[]
}

export interface SqlInput {
  readonly grant: Grant
  /** The kinds of the properties of a collection; undefined when there is no such collection. */
  readonly typesOf: (collection: string) => PropertyTypes | undefined
  readonly parameters: Readonly<Record<string, unknown>>
}

type Ctes = ReadonlyMap<string, { readonly query: Query; readonly ctes: Ctes }>

/**
 * The tree as a statement for the warehouse. Every word of it is ours but the names of the answer's columns, which are
 * quoted: values are bound, columns are numbered, and a table is always a collection of the grant's project, read through
 * `eventsSource`. Throws InvalidSqlError with the place.
 */
export function compileSql(query: Query, input: SqlInput): CompiledSql {
  const binder = createBinder()
  const statement = new Statement(input, binder)
  const compiled = statement.query(query, new Map(), (columns) => named(columns))
  return { sql: compiled.sql, params: binder.params, names: uniqueNames(compiled.columns) }
}

/** Names of the answer, each once: a second `count` is `count_2`. */
function uniqueNames(columns: readonly OutputColumn[]): readonly string[] {
  const seen = new Map<string, number>()
  return columns.map(({ name }) => {
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return count === 1 ? name : `${name}_${count}`
  })
}

const named = (columns: readonly OutputColumn[]): string => {
  const names = uniqueNames(columns)
  return columns.map(({ id }, i) => `${id} AS ${quoteName(names[i] ?? '')}`).join(', ')
}
const bare = (columns: readonly OutputColumn[]): string => columns.map(({ id }) => id).join(', ')

class Statement {
  readonly #input: SqlInput
  readonly #binder: Binder
  #count = 0
  #sources = 0

  constructor(input: SqlInput, binder: Binder) {
    this.#input = input
    this.#binder = binder
  }

  #unique(prefix: string): string {
    return `__${prefix}${this.#count++}`
  }

  query(query: Query, outer: Ctes, shown = bare): CompiledQuery {
    let ctes = outer
    for (const { name, query: inner } of query.ctes) ctes = new Map([...ctes, [name, { query: inner, ctes }]])
    const { sql, columns, orders } = this.#body(query.body, query.orderBy, ctes)
    const limit = query.limit === null ? '' : `\nLIMIT ${rows(query.limit.count)}`
    const offset = query.limit?.offset == null ? '' : ` OFFSET ${rows(query.limit.offset, 0)}`
    if (orders.length === 0 && limit === '' && shown === bare) return { sql, columns }
    const order = orders.length === 0 ? '' : `\nORDER BY ${orders.join(', ')}`
    return { sql: `SELECT ${shown(columns)}\nFROM (\n${sql}\n)${order}${limit}${offset}`, columns }
  }

  #context(ctes: Ctes): ExpressionContext {
    return {
      binder: this.#binder,
      parameters: this.#input.parameters,
      unique: (prefix) => this.#unique(prefix),
      subquery: (query) => this.query(query, ctes),
    }
  }

  /** With the order of the whole, as SQL over what it gives. */
  #body(node: SetNode, orderBy: readonly Order[], ctes: Ctes): CompiledQuery & { readonly orders: readonly string[] } {
    if (node.kind === 'select') return this.#select(node, orderBy, ctes)
    const compiled = node.kind === 'nested' ? this.query(node.query, ctes) : this.#set(node, ctes)
    return { ...compiled, orders: orderBy.map((order) => orderSql(order, byOutput(order.expr, compiled.columns))) }
  }

  #set(node: SetNode & { kind: 'set' }, ctes: Ctes): CompiledQuery {
    const left = this.#body(node.left, [], ctes)
    const right = this.#body(node.right, [], ctes)
    if (left.columns.length !== right.columns.length) {
      const [select] = selectsOf(node.right)
      throw sqlError(select ?? { line: 1, column: 1 }, 'both sides must have as many columns')
    }
    const operator =
      node.operator === 'INTERSECT' || node.operator === 'EXCEPT' ? `${node.operator} DISTINCT` : node.operator
    const inner = `(\n${left.sql}\n)\n${operator}\n(\n${right.sql}\n)`
    return { sql: `SELECT ${bare(left.columns)}\nFROM (\n${inner}\n)`, columns: left.columns }
  }

  #select(select: Select, orderBy: readonly Order[], ctes: Ctes) {
    const context = this.#context(ctes)
    const sources: Source[] = []
    const joined = select.from === null ? undefined : this.#from(select.from, ctes, sources, context)
    const inside: Scope = { sources, aliases: new Map(), bound: new Map() }
    const columns: (OutputColumn & Compiled)[] = select.columns.flatMap(({ expr, alias }) => {
      if (expr.kind === 'star') return this.#star(expr, sources)
      const compiled = compileExpr(expr, inside, context)
      return [{ ...compiled, name: alias ?? nameOf(expr), id: this.#unique('o') }]
    })
    const aliases = new Map(
      select.columns.flatMap(({ alias }, i) =>
        alias === null || columns[i] === undefined ? [] : [[alias, columns[i]]],
      ),
    )
    const after: Scope = {
      ...inside,
      aliases: select.columns.some(({ expr }) => expr.kind === 'star') ? new Map() : aliases,
    }
    const grouped = select.groupBy.map((expr) => byPosition(expr, columns) ?? compileExpr(expr, after, context).sql)
    const having = select.having === null ? undefined : compileExpr(select.having, after, context).sql
    const where = select.where === null ? undefined : compileExpr(select.where, inside, context).sql
    const limitBy = select.limitBy && {
      count: rows(select.limitBy.count),
      by: select.limitBy.by.map((expr) => byPosition(expr, columns) ?? compileExpr(expr, after, context).sql),
    }
    const sorts = orderBy.map((order) => {
      const place = byPosition(order.expr, columns)
      if (place !== undefined) return { order, id: place, sql: undefined }
      if (select.isDistinct) return { order, id: byOutput(order.expr, columns), sql: undefined }
      const { sql } = compileExpr(order.expr, after, context)
      return { order, id: this.#unique('s'), sql }
    })
    const selected = [
      ...columns.map(({ sql, id }) => `${sql} AS ${id}`),
      ...sorts.flatMap(({ id, sql }) => (sql === undefined ? [] : [`${sql} AS ${id}`])),
    ]
    const sql = [
      `SELECT ${select.isDistinct ? 'DISTINCT ' : ''}${selected.join(', ')}`,
      ...(joined === undefined ? [] : [`FROM ${joined()}`]),
      ...(where === undefined ? [] : [`WHERE ${where}`]),
      ...(grouped.length === 0 ? [] : [`GROUP BY ${grouped.join(', ')}`]),
      ...(having === undefined ? [] : [`HAVING ${having}`]),
      ...(limitBy === null ? [] : [`LIMIT ${limitBy.count} BY ${limitBy.by.join(', ')}`]),
    ].join('\n')
    return { sql, columns, orders: sorts.map(({ order, id }) => orderSql(order, id)) }
  }

  #star(at: Position, sources: readonly Source[]): (OutputColumn & Compiled)[] {
    const [only, ...others] = sources
    if (only === undefined || others.length > 0) throw sqlError(at, '* needs one table')
    return only.all().map((column) => ({ ...column, id: this.#unique('o') }))
  }

  /** Adds what is selected from to `sources`; its SQL comes when all columns are known. */
  #from(from: From, ctes: Ctes, sources: Source[], context: ExpressionContext): () => string {
    if (from.kind === 'join') {
      const left = this.#from(from.left, ctes, sources, context)
      const right = this.#from(from.right, ctes, sources, context)
      if (from.on === null) return () => `${left()}\nCROSS JOIN ${right()}`
      const on = compileExpr(from.on, { sources: [...sources], aliases: new Map(), bound: new Map() }, context).sql
      return () => `${left()}\n${from.type} JOIN ${right()} ON ${on}`
    }
    if (++this.#sources > SOURCES_MAX)
      throw sqlError(from, `there are more than ${SOURCES_MAX} tables in the statement`)
    const source = this.#source(from, ctes)
    if (sources.some(({ name }) => name === source.name)) {
      throw sqlError(from, `${source.name.slice(0, 64)} is here twice: give one of them another name with AS`)
    }
    sources.push(source)
    const id = this.#unique('t')
    return () => `${source.sql()} AS ${id}`
  }

  #source(from: From & { kind: 'table' | 'derived' }, ctes: Ctes): Source {
    if (from.kind === 'derived') return this.#derived(this.query(from.query, ctes), from.alias ?? this.#unique('d'))
    const name = from.alias ?? from.name
    const cte = ctes.get(from.name)
    if (cte !== undefined) return this.#derived(this.query(cte.query, cte.ctes), name)
    const types = this.#input.typesOf(from.name)
    if (types === undefined) throw sqlError(from, `there is no collection ${from.name.slice(0, 64)}`)
    const place = { line: from.line, column: from.column, name, collection: from.name, prefix: this.#unique('c') }
    return collectionSource(this.#input.grant, place, types, this.#binder)
  }

  /** Its columns are nullable, as far as they can be: a row that an outer join does not find has none of them. */
  #derived(query: CompiledQuery, name: string): Source {
    const given = query.columns.map((column) => ({ ...column, outer: this.#unique('n') }))
    const shown = given.map(({ id, outer, kind }) => `${kind === 'compound' ? id : `toNullable(${id})`} AS ${outer}`)
    return {
      name,
      column: (path) => {
        const found = given.findLast((column) => column.name === path.join('.'))
        return found === undefined ? undefined : { sql: found.outer, kind: found.kind }
      },
      all: () => given.map((column) => ({ name: column.name, sql: column.outer, kind: column.kind })),
      sql: () => `(\nSELECT ${shown.join(', ')}\nFROM (\n${query.sql}\n)\n)`,
    }
  }
}

function selectsOf(node: SetNode): readonly Select[] {
  if (node.kind === 'select') return [node]
  return node.kind === 'nested' ? selectsOf(node.query.body) : [...selectsOf(node.left), ...selectsOf(node.right)]
}

function nameOf(expr: Expr): string {
  if (expr.kind === 'column') return expr.path.join('.')
  return expr.kind === 'call' ? expr.name.toLowerCase() : 'value'
}

/** `ORDER BY 2` is the second column. */
function byPosition(expr: Expr, columns: readonly OutputColumn[]): string | undefined {
  if (expr.kind !== 'number' || !/^\d+$/.test(expr.value)) return undefined
  const column = columns[Number(expr.value) - 1]
  if (column === undefined) throw sqlError(expr, `there is no column number ${expr.value.slice(0, 10)}`)
  return column.id
}

/** Where rows were put together or made distinct, only what came out can be ordered by. */
function byOutput(expr: Expr, columns: readonly OutputColumn[]): string {
  const place = byPosition(expr, columns)
  if (place !== undefined) return place
  const name = expr.kind === 'column' ? expr.path.join('.') : undefined
  const column = columns.find((one) => one.name === name)
  if (column === undefined) throw sqlError(expr, 'ORDER BY here names a column of the result')
  return column.id
}

/** A number of rows, written out. */
function rows(expr: Expr, least = 0): string {
  if (expr.kind !== 'number' || !/^\d{1,10}$/.test(expr.value)) throw sqlError(expr, 'a whole number is expected')
  const count = Number(expr.value)
  if (count < least || count > ROWS_MAX) throw sqlError(expr, `a number up to ${ROWS_MAX} is expected`)
  return String(count)
}

/** The collections that a statement may select from: every table that is no CTE by name. */
export function tablesOf(query: Query): ReadonlySet<string> {
  const names = new Set<string>()
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if ('kind' in value && value.kind === 'table' && 'name' in value) names.add(String(value.name))
    for (const inner of Object.values(value)) walk(inner)
  }
  walk(query)
  return names
}
