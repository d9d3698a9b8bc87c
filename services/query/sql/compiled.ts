import type { Position } from './tokens.ts'

/** What an expression gives, as far as it decides how it is cast or may be null. */
export type ValueKind = 'number' | 'text' | 'bool' | 'moment' | 'compound' | 'other'

export interface Compiled {
  readonly sql: string
  readonly kind: ValueKind
}

/** A column that a query gives to whoever selects from it. */
export interface OutputColumn {
  /** As the caller calls it. */
  readonly name: string
  /** As the generated SQL does: unique in the whole statement, and never a caller's word. */
  readonly id: string
  readonly kind: ValueKind
}

export interface CompiledQuery {
  readonly sql: string
  readonly columns: readonly OutputColumn[]
}

/** Something to select from, and how its columns are found. */
export interface Source {
  readonly name: string
  readonly column: (path: readonly string[], at: Position) => Compiled | undefined
  /** All its columns, for `*`. */
  readonly all: () => readonly (Compiled & { readonly name: string })[]
  /** Called last, when all columns that anybody wants are known. */
  readonly sql: () => string
}
