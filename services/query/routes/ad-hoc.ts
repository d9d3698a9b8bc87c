import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { bodyFields, callerGone, parametersOf, type QueryContext } from '../context.ts'
import { AD_HOC_DOCS } from '../docs/ad-hoc.ts'
import { answerExtraction } from '../extraction/answer.ts'
import { parseDelivery } from '../extraction/delivery.ts'
import { decodeParameters } from '../language/parameters.ts'
import { type AnalysisName, type Fields, isAnalysis, parseQuery } from '../language/parse.ts'
import { startExtraction } from './extractions.ts'
import { isExtraction, type Query } from '../language/tree.ts'
import type { Answer } from '../run-query.ts'

interface ProjectParams {
  readonly id: string
}

interface AnalysisParams extends ProjectParams {
  readonly analysis: string
}

/** As the API has always named them, some with a suffix and some without. */
const DISCOVERED: Readonly<Record<string, AnalysisName>> = {
  count_url: 'count',
  count_unique_url: 'count_unique',
  funnel_url: 'funnel',
  multi_analysis_url: 'multi_analysis',
  minimum: 'minimum',
  maximum: 'maximum',
  sum: 'sum',
  average: 'average',
  median: 'median',
  percentile: 'percentile',
  standard_deviation: 'standard_deviation',
  select_unique_url: 'select_unique',
  extraction_url: 'extraction',
}

/** Ad-hoc queries: `GET` and `POST /3.0/projects/:id/queries/:analysis`, and the list of them. */
export function registerAdHocRoutes(app: FastifyInstance, context: QueryContext): void {
  const answerOf = async (
    name: AnalysisName,
    grant: Grant,
    fields: () => Fields,
    signal: AbortSignal,
  ): Promise<Answer> =>
    context.inTurn(
      name,
      grant,
      signal,
      async (query: Query) => context.runQuery(query, grant, signal),
      () => parseQuery(name, fields()),
    )

  const handle = async (
    request: FastifyRequest<{ Params: AnalysisParams }>,
    reply: FastifyReply,
    fields: () => Fields,
  ) => {
    const { id, analysis } = request.params
    const grant = context.authorize(request, id, 'queries')
    if (!isAnalysis(analysis)) throw new AppError('ResourceNotFoundError', 'Resource not found.')
    if (analysis === 'extraction') return extract(context, request, reply, grant, fields())
    const answer = await answerOf(analysis, grant, fields, callerGone(reply))
    return send(reply, analysis === 'funnel' ? spread(answer) : answer)
  }

  app.get<{ Params: ProjectParams }>(
    '/3.0/projects/:id/queries',
    { config: { doc: AD_HOC_DOCS.list } },
    (request, reply) => {
      const { id } = request.params
      context.authorize(request, id, 'queries')
      const links = Object.entries(DISCOVERED).map(([name, analysis]) => [
        name,
        `/3.0/projects/${encodeURIComponent(id)}/queries/${analysis}`,
      ])
      return reply.send(Object.fromEntries(links))
    },
  )
  app.get<{ Params: AnalysisParams }>(
    '/3.0/projects/:id/queries/:analysis',
    { config: { doc: AD_HOC_DOCS.get } },
    async (request, reply) => handle(request, reply, () => decodeParameters(parametersOf(request.url))),
  )
  app.post<{ Params: AnalysisParams }>(
    '/3.0/projects/:id/queries/:analysis',
    { config: { doc: AD_HOC_DOCS.post } },
    async (request, reply) => handle(request, reply, () => bodyFields(request)),
  )
}

/** Events now, or a job that makes a file of them. */
async function extract(
  context: QueryContext,
  request: FastifyRequest,
  reply: FastifyReply,
  grant: Grant,
  fields: Fields,
): Promise<FastifyReply> {
  const delivery = parseDelivery(fields)
  const query = parseQuery('extraction', fields)
  if (!isExtraction(query)) throw new Error('not an extraction')
  if (delivery.isBackground) return reply.send(await startExtraction(context, request, query, grant, delivery))
  return answerExtraction(context, request, reply, query, grant, delivery)
}

/** An ad-hoc funnel's result, actors and steps stand side by side; that of a saved one is an object of them. */
const spread = ({ result, ...others }: Answer): object => ({ ...(result as object), ...others })

const send = (reply: FastifyReply, answer: object): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(JSON.stringify(answer))
