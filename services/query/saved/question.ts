import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { ANALYSES, type Fields, isAnalysis, parseQuery } from '../language/parse.ts'
import { collectionsOf } from '../language/tree.ts'
import type { RunQuery } from '../run-query.ts'

/** A saved query as something that can be asked, by whoever may see its rows. */
export interface Question {
  readonly analysisType: string
  /** It reads no others. */
  readonly collections: readonly string[]
  /** Rejects as a query of its kind does. */
  ask(run: RunQuery, grant: Grant, signal: AbortSignal): Promise<QuestionAnswer>
}

export interface QuestionAnswer {
  /** As it stands in a saved query's answer: of an analysis with several top-level fields, the object of them. */
  readonly result: unknown
  readonly executionMetadata: unknown
  readonly rowsRead: number
}

/** Reads the `query` of a saved query. Throws the errors of its analysis, and for `analysis_type` one that names it. */
export function parseQuestion(query: Fields): Question {
  const analysisType = query['analysis_type'] ?? ''
  if (analysisType === '') {
    throw new AppError('MissingRequiredRequestFieldError', 'query.analysis_type is required.')
  }
  if (typeof analysisType !== 'string' || !isAnalysis(analysisType)) {
    throw new AppError('InvalidRequestFieldError', `query.analysis_type must be one of ${ANALYSES.join(', ')}.`)
  }
  const parsed = parseQuery(analysisType, query)
  return {
    analysisType,
    collections: collectionsOf(parsed),
    async ask(run, grant, signal) {
      const { answer, rowsRead } = await run(parsed, grant, signal)
      return { result: answer.result, executionMetadata: answer.execution_metadata, rowsRead }
    },
  }
}

/** The same of what was saved; null when this version of the program does not understand it any more. */
export function savedQuestion(query: Fields): Question | null {
  try {
    return parseQuestion(query)
  } catch {
    return null
  }
}
