import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import { presentedKey } from '../../shared/http/presented-key.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import { bodyFields, callerGone, parametersOf, type QueryContext } from '../context.ts'
import * as access from '../datasets/access.ts'
import { datasetOf, datasetValue, datasetView, type IndexValues, parseDataset } from '../datasets/definition.ts'
import { byProperty, indexParameter, parseBulkValues, parseIndexValues, partOf } from '../datasets/request.ts'
import { DATASET_DOCS } from '../docs/datasets.ts'
import { decodeParameters } from '../language/parameters.ts'
import type { Fields } from '../language/parse.ts'

export interface DatasetPlace {
  readonly definitions: Pick<Definitions, 'get' | 'list' | 'put' | 'delete'>
  readonly organizationId: string
}

interface DatasetParams {
  readonly id: string
  readonly name: string
}

const PAGE = { default: 10, max: 100 }

/** `/3.0/projects/:id/datasets`: definitions, and the values by index value. */
export function registerDatasetRoutes(app: FastifyInstance, context: QueryContext, place: DatasetPlace): void {
  const { definitions, organizationId } = place
  const path = '/3.0/projects/:id/datasets'
  const shown = (definition: Definition) => datasetView(definition, organizationId, context.now())
  const existing = (id: string, name: string): Definition => {
    const definition = definitions.get('dataset', id, name)
    if (definition === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found: dataset.')
    return definition
  }
  const asMaster = (request: FastifyRequest, id: string): void => {
    // Which key it is comes first: what an access key permits makes no difference here.
    access.requireMaster(context.authenticator.authenticate(id, presentedKey(request)))
  }

  app.get<{ Params: { id: string } }>(path, { config: { doc: DATASET_DOCS.list } }, async (request) => {
    const { id } = request.params
    const grant = context.authorize(request, id, 'datasets')
    access.requireOperation(grant, 'list')
    const parameters = parametersOf(request.url)
    const limit = parseLimit(parameters.get('limit'))
    const after = parameters.get('after_name') ?? ''
    const all = definitions.list('dataset', id).filter(({ name }) => access.isVisible(grant, name))
    const rest = all.filter(({ name }) => name > after)
    const page = rest.slice(0, limit)
    const last = rest.length > limit ? page.at(-1) : undefined
    const next = last && new URLSearchParams({ limit: String(limit), after_name: last.name }).toString()
    const base = `${request.protocol}://${request.host}/3.0/projects/${encodeURIComponent(id)}/datasets`
    return {
      datasets: page.map(shown),
      next_page_url: next === undefined ? null : `${base}?${next}`,
      count: all.length,
    }
  })
  app.get<{ Params: DatasetParams }>(`${path}/:name`, { config: { doc: DATASET_DOCS.get } }, async (request) => {
    const { id, name } = request.params
    const grant = context.authorize(request, id, 'datasets')
    access.requireOperation(grant, 'read')
    access.requireVisible(grant, name)
    return shown(existing(id, name))
  })
  app.put<{ Params: DatasetParams }>(`${path}/:name`, { config: { doc: DATASET_DOCS.put } }, async (request, reply) => {
    const { id, name } = request.params
    asMaster(request, id)
    const value = datasetValue(parseDataset(bodyFields(request), context.now()))
    const known = definitions.get('dataset', id, name)
    if (known === undefined) return reply.code(201).send(shown(await definitions.put('dataset', id, name, value)))
    if (isDeepStrictEqual(known.value, value)) return shown(known)
    throw new AppError('InvalidRequestError', 'There is a dataset of this name: delete it to define it anew.')
  })
  app.delete<{ Params: DatasetParams }>(
    `${path}/:name`,
    { config: { doc: DATASET_DOCS.remove } },
    async (request, reply) => {
      const { id, name } = request.params
      asMaster(request, id)
      await definitions.delete('dataset', id, name)
      return reply.code(204).send()
    },
  )

  const results = async (
    request: FastifyRequest<{ Params: DatasetParams }>,
    reply: FastifyReply,
    fields: () => Fields,
    isBulk: boolean,
  ) => {
    const { id, name } = request.params
    const grant = context.authorize(request, id, 'datasets')
    access.requireOperation(grant, 'retrieve')
    access.requireVisible(grant, name)
    const definition = existing(id, name)
    const dataset = datasetOf(definition)
    const given = fields()
    const asked = isBulk ? parseBulkValues(dataset, given['index_by']) : [parseIndexValues(dataset, given['index_by'])]
    for (const values of asked) access.requireIndexValues(grant, name, dataset, values)
    const found = await resultsOf(context, definition, grant, asked, given, callerGone(reply))
    const index = asked.map((values) => byProperty(dataset, values))
    const answer = {
      result: isBulk ? found.map((result, i) => ({ index_by: index[i], result })) : found[0],
      metadata: {
        dataset: shown(definition),
        request: { index_by: isBulk ? index : index[0], timeframe: given['timeframe'] },
      },
    }
    return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer))
  }
  app.get<{ Params: DatasetParams }>(
    `${path}/:name/results`,
    { config: { doc: DATASET_DOCS.results } },
    async (request, reply) => {
      const fields = (): Fields => {
        const parameters = parametersOf(request.url)
        return { ...decodeParameters(parameters), index_by: indexParameter(parameters.get('index_by')) }
      }
      return results(request, reply, fields, false)
    },
  )
  app.post<{ Params: DatasetParams }>(
    `${path}/:name/results`,
    { config: { doc: DATASET_DOCS.bulk } },
    async (request, reply) => results(request, reply, () => bodyFields(request), true),
  )
}

/** One turn for all: a bulk read must not crowd out others. */
async function resultsOf(
  context: QueryContext,
  definition: Definition,
  grant: Grant,
  asked: readonly IndexValues[],
  fields: Fields,
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const nowMs = context.now()
  const queries = asked.map((values) => partOf(datasetOf(definition), values, fields, nowMs))
  return context.inTurn('dataset', grant, signal, async () => {
    const answer: unknown[] = []
    let rowsRead = 0
    for (const query of queries) {
      const run = await context.runQuery(query, grant, signal)
      answer.push(run.answer.result)
      rowsRead += run.rowsRead
    }
    return { answer, rowsRead }
  })
}

function parseLimit(text: string | null): number {
  if (text === null || text === '') return PAGE.default
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE.max) return limit
  throw new AppError('InvalidRequestFieldError', `limit must be a whole number from 1 to ${PAGE.max}.`)
}
