import type { Position } from './position.ts'

/** A statement after parsing: names as they were written, nothing resolved. Every node says where it began. */
export interface QueryNode {
  readonly at: Position
  readonly ctes: readonly CteNode[]
  readonly body: SelectNode | SetNode
  readonly orderBy: readonly OrderNode[]
  readonly limitBy: LimitByNode | null
  readonly limit: ExprNode | null
  readonly offset: ExprNode | null
}

export interface CteNode {
  readonly at: Position
  readonly name: string
  readonly query: QueryNode
}

export interface SetNode {
  readonly kind: 'set'
  readonly operator: 'UNION ALL' | 'UNION DISTINCT' | 'INTERSECT' | 'INTERSECT DISTINCT' | 'EXCEPT' | 'EXCEPT DISTINCT'
  readonly left: QueryNode
  readonly right: QueryNode
  readonly at: Position
}

export interface SelectNode {
  readonly kind: 'select'
  readonly at: Position
  readonly isDistinct: boolean
  readonly items: readonly ItemNode[]
  readonly from: FromNode | null
  readonly where: ExprNode | null
  readonly grouping: 'plain' | 'ROLLUP' | 'CUBE'
  readonly groupBy: readonly ExprNode[]
  readonly having: ExprNode | null
  readonly windows: readonly { readonly name: string; readonly window: WindowNode }[]
}

export type ItemNode =
  | { readonly kind: 'expr'; readonly expr: ExprNode; readonly alias: string | null; readonly text: string }
  /** `*`, or `table.*`. */
  | { readonly kind: 'star'; readonly table: string | null; readonly at: Position }

export interface OrderNode {
  readonly expr: ExprNode
  readonly direction: 'ASC' | 'DESC'
  readonly nulls: 'FIRST' | 'LAST' | null
}

export interface LimitByNode {
  readonly limit: ExprNode
  readonly by: readonly ExprNode[]
}

export type FromNode =
  | { readonly kind: 'table'; readonly at: Position; readonly name: string; readonly alias: string | null }
  | { readonly kind: 'subquery'; readonly at: Position; readonly query: QueryNode; readonly alias: string | null }
  | {
      readonly kind: 'join'
      readonly at: Position
      readonly side: 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | 'CROSS'
      readonly strictness: '' | 'ANY' | 'SEMI' | 'ANTI'
      readonly left: FromNode
      readonly right: FromNode
      readonly on: ExprNode | null
      readonly using: readonly NameNode[] | null
    }

export interface NameNode {
  readonly kind: 'name'
  readonly at: Position
  readonly segments: readonly string[]
}

export interface WindowNode {
  readonly at: Position
  readonly base: string | null
  readonly partitionBy: readonly ExprNode[]
  readonly orderBy: readonly OrderNode[]
  readonly frame: { readonly unit: 'ROWS' | 'RANGE'; readonly start: FrameBound; readonly end: FrameBound } | null
}

export type FrameBound =
  | { readonly kind: 'unbounded' | 'offset'; readonly direction: 'PRECEDING' | 'FOLLOWING'; readonly count: number }
  | { readonly kind: 'current' }

export interface CallNode {
  readonly kind: 'call'
  readonly at: Position
  readonly name: string
  readonly parameters: readonly ExprNode[] | null
  readonly args: readonly ExprNode[]
  readonly isDistinct: boolean
  /** `count(*)`. */
  readonly isStar: boolean
  readonly filter: ExprNode | null
  readonly over: WindowNode | string | null
}

export type ExprNode =
  | NameNode
  | CallNode
  | { readonly kind: 'literal'; readonly at: Position; readonly value: string | number | bigint | boolean | null }
  | { readonly kind: 'parameter'; readonly at: Position; readonly name: string; readonly type: string | null }
  /** One of our names of ClickHouse functions, over operands: `plus`, `and`, `equals`, `array`, `tuple`. */
  | { readonly kind: 'operator'; readonly at: Position; readonly name: string; readonly args: readonly ExprNode[] }
  | { readonly kind: 'interval'; readonly at: Position; readonly unit: string; readonly count: ExprNode }
  | {
      readonly kind: 'cast'
      readonly at: Position
      readonly expr: ExprNode
      readonly type: string
      readonly isTry: boolean
    }
  | {
      readonly kind: 'case'
      readonly at: Position
      readonly of: ExprNode | null
      readonly branches: readonly { readonly when: ExprNode; readonly value: ExprNode }[]
      readonly otherwise: ExprNode | null
    }
  | {
      readonly kind: 'in'
      readonly at: Position
      readonly isNot: boolean
      readonly left: ExprNode
      readonly right: readonly ExprNode[] | QueryNode | ExprNode
    }
  | { readonly kind: 'subquery' | 'exists'; readonly at: Position; readonly query: QueryNode }
  | { readonly kind: 'lambda'; readonly at: Position; readonly names: readonly string[]; readonly body: ExprNode }
