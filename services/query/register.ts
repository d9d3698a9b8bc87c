import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { AppError } from '../shared/errors.ts'
import { bodyOf } from '../shared/http/body.ts'
import { parseJson } from '../shared/http/json.ts'
import { presentedKey } from '../shared/http/presented-key.ts'
import type { Authenticator, Grant } from '../shared/registry/grant.ts'
import type { Logger } from '../shared/telemetry/logger.ts'
import type { Warehouse } from '../shared/warehouse/port.ts'
import { decodeParameters } from './language/parameters.ts'
import { type AnalysisName, type Fields, isAnalysis, parseQuery } from './language/parse.ts'
import { createQueryMeters, outcomeOf } from './meters.ts'
import { type Answer, createQueryRunner } from './run-query.ts'
import type { QuerySettings } from './settings.ts'
import { Turns } from './turns.ts'

export interface QueryDeps {
  readonly warehouse: Warehouse
  readonly authenticator: Authenticator
  readonly metrics: Registry
  readonly settings: QuerySettings
  /** Milliseconds since 1970: what relative timeframes count from. */
  readonly now: () => number
  readonly logger: Logger
}

interface ProjectParams {
  readonly id: string
}

/** As the API has always named them, some with a suffix and some without. */
const DISCOVERED: Readonly<Record<string, AnalysisName>> = {
  count_url: 'count',
  count_unique_url: 'count_unique',
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
export function registerQuery(app: FastifyInstance, deps: QueryDeps): void {
  const turns = new Turns(deps.settings)
  const meters = createQueryMeters(deps.metrics, turns)
  const runQuery = createQueryRunner(deps)

  const authorize = (request: FastifyRequest, projectId: string): Grant => {
    const grant = deps.authenticator.authenticate(projectId, presentedKey(request))
    if (grant.permitted.has('queries')) return grant
    throw new AppError('KeyNotAuthorizedError', 'This key does not permit queries.')
  }

  const answerOf = async (name: AnalysisName, grant: Grant, fields: () => Fields, signal: AbortSignal) => {
    const startedMs = performance.now()
    const done = (outcome: Parameters<typeof meters.observe>[1]): void =>
      meters.observe(name, outcome, (performance.now() - startedMs) / 1_000)
    try {
      const query = parseQuery(name, fields())
      const { answer, rowsRead } = await turns.run(grant.projectId, signal, () => runQuery(query, grant, signal))
      meters.rowsRead(rowsRead)
      done('answered')
      return answer
    } catch (error) {
      done(outcomeOf(error, signal))
      if (!signal.aborted) throw error
      deps.logger.info({ analysis: name, keyId: grant.keyId }, 'query stopped: its caller went away')
      throw new AppError('ServiceUnavailableError', 'The caller went away.', { cause: error })
    }
  }

  const handle = async (
    request: FastifyRequest<{ Params: ProjectParams & { readonly analysis: string } }>,
    reply: FastifyReply,
    fields: () => Fields,
  ) => {
    const { id, analysis } = request.params
    const grant = authorize(request, id)
    if (!isAnalysis(analysis)) throw new AppError('ResourceNotFoundError', 'Resource not found.')
    return send(reply, await answerOf(analysis, grant, fields, callerGone(reply)))
  }

  app.get<{ Params: ProjectParams }>('/3.0/projects/:id/queries', (request, reply) => {
    const { id } = request.params
    authorize(request, id)
    const links = Object.entries(DISCOVERED).map(([name, analysis]) => [
      name,
      `/3.0/projects/${encodeURIComponent(id)}/queries/${analysis}`,
    ])
    return reply.send(Object.fromEntries(links))
  })
  app.get<{ Params: ProjectParams & { readonly analysis: string } }>(
    '/3.0/projects/:id/queries/:analysis',
    async (request, reply) => handle(request, reply, () => decodeParameters(parametersOf(request.url))),
  )
  app.post<{ Params: ProjectParams & { readonly analysis: string } }>(
    '/3.0/projects/:id/queries/:analysis',
    async (request, reply) => handle(request, reply, () => bodyFields(request)),
  )
}

/** Aborts when the connection closes before the answer was sent. */
function callerGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  const { raw } = reply
  if (raw.destroyed) controller.abort()
  else raw.once('close', () => (raw.writableFinished ? undefined : controller.abort()))
  return controller.signal
}

function parametersOf(url: string): URLSearchParams {
  const start = url.indexOf('?')
  return new URLSearchParams(start === -1 ? '' : url.slice(start + 1))
}

function bodyFields(request: FastifyRequest): Fields {
  const body = parseJson(bodyOf(request))
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields
  throw new AppError('InvalidRequestError', 'The body must be a JSON object.')
}

const send = (reply: FastifyReply, answer: Answer): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(JSON.stringify(answer))
