import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { ANALYSES, type Fields, isAnalysis, parseQuery } from '../language/parse.ts'
import type { QueryRunner } from '../run-query.ts'

/** A saved query as something that can be asked, by whoever may see its rows. */
export interface Question {
  readonly analysisType: string
  /** It reads no others. */
  readonly collections: readonly string[]
  /** Rejects as a query of its kind does. */
  ask(run: QueryRunner, grant: Grant, signal: AbortSignal): Promise<QuestionAnswer>
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
    collections: collectionsOf(query),
    async ask(run, grant, signal) {
      const { answer, rowsRead } = await run(parsed, grant, signal)
      const { execution_metadata: executionMetadata, ...fields } = answer
      // A funnel answers with `steps` and `actors` beside `result`; saved, all of them are the result.
      const result = Object.keys(fields).length > 1 ? fields : fields.result
      return { result, executionMetadata, rowsRead }
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

/** Each step of a funnel has its own. */
function collectionsOf(query: Fields): readonly string[] {
  const steps: readonly unknown[] = Array.isArray(query['steps']) ? query['steps'] : []
  const names = [query, ...steps].map((at) => (Object(at) as Fields)['event_collection'])
  return [...new Set(names.filter((name) => typeof name === 'string'))]
}
