import type { FastifyInstance } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import { queryValue } from '../../shared/http/presented-key.ts'
import { PLAIN_READ } from '../../shared/http/event-address.ts'
import type { CatalogueEntry } from '../catalogue.ts'
import { callerGone, type QueryContext } from '../context.ts'
import { SCHEMA_DOCS } from '../docs/schema.ts'

interface ProjectParams {
  readonly projectId: string
}
interface CollectionParams extends ProjectParams {
  readonly collection: string
}
interface PropertyParams extends CollectionParams {
  readonly property: string
}

/** As many as the API has ever listed. */
const COLLECTIONS_MAX = 5_000

/** What collections there are, and what their events look like. */
export function registerSchemaRoutes(app: FastifyInstance, context: QueryContext): void {
  const { catalogue } = context

  app.get<{ Params: ProjectParams }>(
    '/3.0/projects/:projectId/events',
    { config: { doc: SCHEMA_DOCS.list } },
    async (request, reply) => {
      const { projectId: id } = request.params
      const grant = context.authorize(request, id, 'schema')
      const after = queryValue(request, 'after_name')
      const page = { limit: limitOf(queryValue(request, 'limit')), ...(after !== undefined && { after }) }
      const answer = flagOf(queryValue(request, 'include_schema'))
        ? (await catalogue.entries(grant, page, callerGone(reply))).map((entry) => view(id, entry))
        : (await catalogue.collections(grant, page, callerGone(reply))).map((name) => ({ name, url: urlOf(id, name) }))
      return reply.send(answer)
    },
  )

  const entryOf = async (
    request: Parameters<QueryContext['authorize']>[0],
    params: CollectionParams,
    signal: AbortSignal,
  ) => {
    const grant = context.authorize(request, params.projectId, 'schema')
    const entry = await catalogue.entry(grant, params.collection, signal)
    if (entry === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found: the collection.')
    return entry
  }

  app.get<{ Params: CollectionParams }>(
    '/3.0/projects/:projectId/events/:collection',
    { config: { doc: SCHEMA_DOCS.collection }, constraints: PLAIN_READ },
    async (request, reply) => {
      const { projectId: id } = request.params
      return reply.send(view(id, await entryOf(request, request.params, callerGone(reply))))
    },
  )

  app.get<{ Params: PropertyParams }>(
    '/3.0/projects/:projectId/events/:collection/properties/:property',
    { config: { doc: SCHEMA_DOCS.property } },
    async (request, reply) => {
      const { projectId: id, collection, property } = request.params
      const entry = await entryOf(request, request.params, callerGone(reply))
      const found = entry.properties.find(({ path }) => path === property)
      if (found === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found: the property.')
      return reply.send({
        property_name: property,
        url: `${urlOf(id, collection)}/properties/${encodeURIComponent(property)}`,
        type: found.types[0],
        types: found.types,
      })
    },
  )
}

const urlOf = (projectId: string, collection: string): string =>
  `/3.0/projects/${encodeURIComponent(projectId)}/events/${encodeURIComponent(collection)}`

function view(projectId: string, { name, properties, isCut }: CatalogueEntry): object {
  const several = properties.filter(({ types }) => types.length > 1)
  return {
    name,
    properties: Object.fromEntries(properties.map(({ path, types }) => [path, types[0]])),
    url: urlOf(projectId, name),
    ...(several.length > 0 && { property_types: Object.fromEntries(several.map(({ path, types }) => [path, types])) }),
    ...(isCut && { properties_cut: true }),
  }
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return COLLECTIONS_MAX
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= COLLECTIONS_MAX) return limit
  throw new AppError('InvalidRequestFieldError', `limit must be a whole number from 1 to ${COLLECTIONS_MAX}.`)
}

function flagOf(text: string | undefined): boolean {
  switch (text?.trim().toLowerCase().replaceAll('"', '')) {
    case undefined:
    case '':
    case 'true':
    case '1':
      return true
    case 'false':
    case '0':
      return false
    default:
      throw new AppError('InvalidRequestFieldError', 'include_schema must be true or false.')
  }
}
