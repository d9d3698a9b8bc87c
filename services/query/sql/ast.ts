import type { Position } from './tokens.ts'

/** SQL as a tree: all that the warehouse ever gets is written from it, so what has no node here cannot be said. */

export type Expr = Position &
  (
    | { readonly kind: 'text'; readonly value: string }
    /** Digits as written. */
    | { readonly kind: 'number'; readonly value: string }
    | { readonly kind: 'constant'; readonly value: 'NULL' | 'true' | 'false' }
    | { readonly kind: 'parameter'; readonly name: string; readonly type: string }
    | { readonly kind: 'column'; readonly path: readonly string[] }
    | { readonly kind: 'star' }
    | {
        readonly kind: 'call'
        readonly name: string
        /** Of a parametric aggregate: `quantile(0.9)(x)`. */
        readonly parameters: readonly Expr[]
        readonly args: readonly Expr[]
        readonly isDistinct: boolean
        readonly over: Window | null
      }
    | { readonly kind: 'lambda'; readonly names: readonly string[]; readonly body: Expr }
    | { readonly kind: 'unary'; readonly operator: '-' | 'NOT'; readonly value: Expr }
    | { readonly kind: 'binary'; readonly operator: string; readonly left: Expr; readonly right: Expr }
    | { readonly kind: 'isNull'; readonly value: Expr; readonly negated: boolean }
    | {
        readonly kind: 'between'
        readonly value: Expr
        readonly low: Expr
        readonly high: Expr
        readonly negated: boolean
      }
    | { readonly kind: 'in'; readonly value: Expr; readonly list: readonly Expr[] | Query; readonly negated: boolean }
    | {
        readonly kind: 'case'
        readonly of: Expr | null
        readonly branches: readonly (readonly [Expr, Expr])[]
        readonly otherwise: Expr | null
      }
    | { readonly kind: 'cast'; readonly value: Expr; readonly type: string }
    | { readonly kind: 'interval'; readonly value: Expr; readonly unit: string }
    | { readonly kind: 'array' | 'tuple'; readonly items: readonly Expr[] }
    | { readonly kind: 'element'; readonly value: Expr; readonly index: Expr }
    | { readonly kind: 'subquery'; readonly query: Query }
  )

export interface Window {
  readonly partitionBy: readonly Expr[]
  readonly orderBy: readonly Order[]
  readonly frame: { readonly unit: 'ROWS' | 'RANGE'; readonly from: Bound; readonly to: Bound } | null
}

/** Rows before (negative) or after the current one; infinite without a bound. */
export type Bound = number

export interface Order {
  readonly expr: Expr
  readonly descending: boolean
  readonly nulls: 'FIRST' | 'LAST' | null
}

export interface Query {
  readonly ctes: readonly { readonly name: string; readonly query: Query }[]
  readonly body: SetNode
  readonly orderBy: readonly Order[]
  readonly limit: { readonly count: Expr; readonly offset: Expr | null } | null
}

export type SetNode =
  | Select
  | {
      readonly kind: 'set'
      readonly operator: 'UNION ALL' | 'UNION DISTINCT' | 'INTERSECT' | 'EXCEPT'
      readonly left: SetNode
      readonly right: SetNode
    }
  | { readonly kind: 'nested'; readonly query: Query }

export interface Select extends Position {
  readonly kind: 'select'
  readonly isDistinct: boolean
  readonly columns: readonly { readonly expr: Expr; readonly alias: string | null }[]
  readonly from: From | null
  readonly where: Expr | null
  readonly groupBy: readonly Expr[]
  readonly having: Expr | null
  readonly limitBy: { readonly count: Expr; readonly by: readonly Expr[] } | null
}

export type From =
  | (Position & { readonly kind: 'table'; readonly name: string; readonly alias: string | null })
  | (Position & { readonly kind: 'derived'; readonly query: Query; readonly alias: string | null })
  | (Position & {
      readonly kind: 'join'
      readonly type: 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | 'CROSS'
      readonly left: From
      readonly right: From
      readonly on: Expr | null
    })
