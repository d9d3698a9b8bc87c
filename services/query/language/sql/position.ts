import { AppError } from '../../../shared/errors.ts'

/** Where something stands in the caller's text; both count from 1, columns in characters. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** The caller's mistake, and where it is. The message holds nothing but the caller's own words and ours. */
export function sqlError(message: string, at: Position): AppError {
  const { line, column } = at
  return new AppError('InvalidSqlError', `query, line ${line}, column ${column}: ${message}`, {
    shown: { line, column },
  })
}

/** What the caller wrote, short enough to stand in a message. */
export const shown = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text)
