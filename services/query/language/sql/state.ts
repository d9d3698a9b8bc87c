import type { Grant } from '../../../shared/registry/grant.ts'
import type { Binder } from '../bind.ts'
import type { ExprNode, QueryNode } from './ast.ts'
import { BOUNDS } from './bounds.ts'
import type { ParameterValues } from './parameter-values.ts'
import { type Position, sqlError } from './position.ts'
import type { SeenTypes } from '../columns.ts'
import type { OutputColumn, Relation, RelationColumn } from './relations.ts'

/** The subqueries that a FROM can name, and the tables around it, which it cannot. */
export interface Env {
  readonly ctes: ReadonlyMap<string, { readonly query: QueryNode; readonly env: Env }>
  readonly outer: ReadonlySet<string>
}

/** What one statement is compiled with. */
export interface State {
  readonly grant: Grant
  readonly binder: Binder
  readonly parameters: ParameterValues
  /** Asked for every collection that is read, and where. */
  readonly collection: (name: string, at: Position) => (path: string) => SeenTypes
  readonly compile: (node: ExprNode, scope: Scope, where: Place) => Value
  readonly compileQuery: (node: QueryNode, env: Env) => CompiledSelect
  /** A name of ours that no other has. */
  readonly fresh: (prefix: string) => string
  /** Throws InvalidSqlError when there are too many. */
  readonly countTable: (at: Position) => void
}

export interface CompiledSelect {
  readonly sql: string
  readonly output: readonly OutputColumn[]
}

export interface Compilers {
  readonly expr: (node: ExprNode, scope: Scope, where: Place, state: State) => Value
  readonly query: (node: QueryNode, env: Env, state: State) => CompiledSelect
}

export function createState(
  given: Pick<State, 'grant' | 'binder' | 'parameters' | 'collection'>,
  compilers: Compilers,
): State {
  let names = 0
  let tables = 0
  const state: State = {
    ...given,
    compile: (node, scope, where) => compilers.expr(node, scope, where, state),
    compileQuery: (node, env) => compilers.query(node, env, state),
    fresh: (prefix) => `${prefix}${names++}`,
    countTable: (at) => {
      if (++tables <= BOUNDS.tables) return
      throw sqlError(
        `more than ${BOUNDS.tables} tables and subqueries, those inside a named subquery counted each time`,
        at,
      )
    },
  }
  return state
}

/** An expression in SQL. */
export interface Value {
  readonly sql: string
  readonly isTime: boolean
  readonly isInterval?: boolean
  /** Of a constant text, what it says. */
  readonly text?: string
  readonly isConstant?: boolean
  /** A column in it that stands neither in an aggregate nor in GROUP BY. */
  readonly loose?: { readonly at: Position; readonly name: string } | undefined
  readonly readAs?: RelationColumn['readAs']
}

/** One SELECT, while it is compiled. */
export interface Scope {
  readonly env: Env
  readonly relations: Relation[]
  /** Columns that USING made one of two. */
  readonly merged: Map<string, RelationColumn>
  readonly aliases: Map<string, { readonly sqlName: string; readonly value: Value }>
  /** SQL of what stands in GROUP BY. */
  readonly groupKeys: Set<string>
  readonly windows: Map<string, string>
  aggregatesAt: Position | null
}

/** Where in a SELECT an expression stands. */
export interface Place {
  readonly clause: string
  readonly seesAliases: boolean
  readonly allowsAggregates: boolean
  readonly allowsWindows: boolean
  /** Parameters of the functions around, by the caller's names. */
  readonly lambdas: ReadonlyMap<string, string>
}

/** SQL made of others' SQL; its first loose column is theirs. */
export function combine(values: readonly Value[], write: (sql: readonly string[]) => string): Value {
  const loose = values.find((value) => value.loose !== undefined)?.loose
  return { sql: write(values.map(({ sql }) => sql)), isTime: false, loose }
}

/** For a subquery: what it must not look at. */
export const innerEnv = ({ env, relations }: Scope): Env => ({
  ctes: env.ctes,
  outer: new Set([...env.outer, ...relations.flatMap(({ name }) => name ?? [])]),
})

export const place = (clause: string, allowed: Partial<Omit<Place, 'clause' | 'lambdas'>> = {}): Place => ({
  clause,
  seesAliases: false,
  allowsAggregates: false,
  allowsWindows: false,
  lambdas: new Map(),
  ...allowed,
})
