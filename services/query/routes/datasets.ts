import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import { presentedKey } from '../../shared/http/presented-key.ts'
import { type Grant, masterOnly } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import { bodyFields, callerGone, parametersOf, type QueryContext } from '../context.ts'
import * as access from '../datasets/access.ts'
import type { Datasets, DatasetWork } from '../datasets/datasets.ts'
import {
  datasetOf,
  datasetValue,
  datasetView,
  type Freshness,
  type IndexValues,
  parseDataset,
} from '../datasets/definition.ts'
import { byProperty, indexParameter, parseBulkValues, parseIndexValues, partOf } from '../datasets/request.ts'
import { DATASET_DOCS } from '../docs/datasets.ts'
import { decodeParameters } from '../language/parameters.ts'
import type { Fields } from '../language/parse.ts'

export interface DatasetPlace {
  readonly organizationId: string
  /** Left out: nothing is computed ahead. */
  readonly work?: DatasetWork
}

interface DatasetParams {
  readonly id: string
  readonly name: string
}

const PAGE = { default: 10, max: 100 }

/** `/3.0/projects/:id/datasets`: definitions, and the values by index value. */
export function registerDatasetRoutes(
  app: FastifyInstance,
  context: QueryContext,
  datasets: Datasets,
  organizationId: string,
): void {
  const { definitions } = context
  const path = '/3.0/projects/:id/datasets'
  const allShown = async (some: readonly Definition[], signal: AbortSignal) => {
    const freshness = await datasets.freshness(some, signal)
    const live: Freshness = { status: 'OK', ranAtMs: null, freshAtMs: context.now() }
    return some.map((definition, i) => datasetView(definition, organizationId, freshness[i] ?? live, context.now()))
  }
  const shown = async (definition: Definition, reply: FastifyReply) => {
    const [view] = await allShown([definition], callerGone(reply))
    return view
  }
  const existing = (id: string, name: string): Definition => {
    const definition = definitions.get('dataset', id, name)
    if (definition === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found: dataset.')
    return definition
  }
  const asMaster = (request: FastifyRequest, id: string): void => {
    // Which key it is comes first: what an access key permits makes no difference here.
    masterOnly(context.authenticator.authenticate(id, presentedKey(request)))
  }

  app.get<{ Params: { id: string } }>(path, { config: { doc: DATASET_DOCS.list } }, async (request, reply) => {
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
      datasets: await allShown(page, callerGone(reply)),
      next_page_url: next === undefined ? null : `${base}?${next}`,
      count: all.length,
    }
  })
  app.get<{ Params: DatasetParams }>(`${path}/:name`, { config: { doc: DATASET_DOCS.get } }, async (request, reply) => {
    const { id, name } = request.params
    const grant = context.authorize(request, id, 'datasets')
    access.requireOperation(grant, 'read')
    access.requireVisible(grant, name)
    return shown(existing(id, name), reply)
  })
  app.put<{ Params: DatasetParams }>(`${path}/:name`, { config: { doc: DATASET_DOCS.put } }, async (request, reply) => {
    const { id, name } = request.params
    asMaster(request, id)
    const value = datasetValue(parseDataset(bodyFields(request), context.now()))
    const known = definitions.get('dataset', id, name)
    if (known === undefined)
      return reply.code(201).send(await shown(await definitions.put('dataset', id, name, value), reply))
    if (isDeepStrictEqual(known.value, value)) return shown(known, reply)
    throw new AppError('InvalidRequestError', 'There is a dataset of this name: delete it to define it anew.')
  })
  app.delete<{ Params: DatasetParams }>(
    `${path}/:name`,
    { config: { doc: DATASET_DOCS.remove } },
    async (request, reply) => {
      const { id, name } = request.params
      asMaster(request, id)
      const known = definitions.get('dataset', id, name)
      await definitions.delete('dataset', id, name)
      if (known !== undefined) await datasets.forget(known)
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
    const found = await resultsOf(context, datasets, definition, grant, asked, given, callerGone(reply))
    const index = asked.map((values) => byProperty(dataset, values))
    const answer = {
      result: isBulk ? found.map((result, i) => ({ index_by: index[i], result })) : found[0],
      metadata: {
        dataset: await shown(definition, reply),
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
  datasets: Datasets,
  definition: Definition,
  grant: Grant,
  values: readonly IndexValues[],
  fields: Fields,
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const nowMs = context.now()
  const dataset = datasetOf(definition)
  const asked = values.map((one) => ({ values: one, query: partOf(dataset, one, fields, nowMs) }))
  return context.inTurn('dataset', grant, signal, async () => {
    const { results: answer, rowsRead } = await datasets.answer(definition, asked, grant, signal)
    return { answer, rowsRead }
  })
}

function parseLimit(text: string | null): number {
  if (text === null || text === '') return PAGE.default
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE.max) return limit
  throw new AppError('InvalidRequestFieldError', `limit must be a whole number from 1 to ${PAGE.max}.`)
}
