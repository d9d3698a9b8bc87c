import { AppError, hasCode } from '../shared/errors.ts'
import type { Query } from './language/tree.ts'

/** The warehouse's refusals that have a name of their own for callers; any other error as it is. */
export function explainedError(error: unknown, query: Query): unknown {
  if (hasCode(error, 'QueryTooLargeError') && query.analysis.kind === 'extraction') {
    return new AppError('ExtractionTooLargeError', `${error.message} Ask for a narrower timeframe, or latest.`, {
      cause: error,
    })
  }
  return explainedPattern(error)
}

/** The same of a statement that has filters and nothing else of a query. */
export function explainedPattern(error: unknown): unknown {
  if (hasCode(error, 'WAREHOUSE_REJECTED') && error.details['clickhouseType'] === 'CANNOT_COMPILE_REGEXP') {
    return new AppError('InvalidFilterError', 'A filter’s regex is not a valid RE2 pattern.', { cause: error })
  }
  return error
}
