import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Deletion, type DeletionRecord, deletionOf } from '../../shared/deletions/model.ts'
import { ERASURE_KIND } from '../../shared/deletions/erasure.ts'
import { AppError } from '../../shared/errors.ts'
import { bodyOf } from '../../shared/http/body.ts'
import { parseJson } from '../../shared/http/json.ts'
import { presentedKey } from '../../shared/http/presented-key.ts'
import { type Grant, masterOnly } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import { callerGone, parametersOf, type QueryContext } from '../context.ts'
import { countConcerned } from '../deletions/count.ts'
import { type DeletionScope, parseDeletion, parsePropertyDeletion } from '../deletions/request.ts'
import { DELETION_DOCS } from '../docs/deletions.ts'

interface CollectionParams {
  readonly projectId: string
  readonly collection: string
}

/** Each stands in the SQL of every query of its collection until it is carried out. */
const UNFINISHED_MAX = 20
const RETRY_S = 30
const COLLECTION_CHARS_MAX = 256

/** Deletes, which take effect at once in answers and soon after on the disk, and how far they are. */
export function registerDeletionRoutes(app: FastifyInstance, context: QueryContext): void {
  const { definitions, logger, now, settings } = context
  const filesOf = ({ projectId, name }: Definition) => definitions.get(ERASURE_KIND, projectId, name)?.value

  const accept = async (
    request: FastifyRequest,
    reply: FastifyReply,
    scopeOf: () => DeletionScope,
  ): Promise<FastifyReply> => {
    const { projectId, collection } = request.params as CollectionParams
    const grant = requireMaster(context, request, projectId)
    if (collection.length > COLLECTION_CHARS_MAX) {
      throw new AppError('InvalidRequestError', 'The collection’s name is too long.')
    }
    const atMs = now()
    const scope = scopeOf()
    const unfinished = grant.deletionsOf(collection).filter(({ progress }) => progress.state !== 'done')
    if (unfinished.length >= UNFINISHED_MAX) {
      throw new AppError('RateLimitExceededError', `${UNFINISHED_MAX} deletions of this collection are under way.`, {
        retryAfterS: RETRY_S,
      })
    }
    // They are remembered for good: the log may hold their events, and be read again.
    if (definitions.list('deletion', projectId).length >= settings.deletionsMax) {
      throw new AppError(
        'InvalidRequestError',
        `The project has ${settings.deletionsMax} deletions that are remembered, as many as it may.`,
      )
    }
    const matched = await context.inTurn('delete', grant, callerGone(reply), async () =>
      countConcerned(context, grant, collection, { ...scope, atMs }, callerGone(reply)),
    )
    const max = scope.filters.length > 0 ? settings.deletedWithFiltersMax : settings.deletedMax
    if (max > 0 && matched > max) {
      throw new AppError('InvalidRequestError', `The deletion concerns ${matched} events; at most ${max} are allowed.`)
    }
    const record: DeletionRecord = {
      ...scope,
      collection,
      atMs,
      matched,
      state: 'pending',
      startedAtMs: null,
      doneAtMs: null,
    }
    const { name } = await definitions.put('deletion', projectId, randomUUID(), { ...record })
    const fields = { requestId: request.id, by: grant.keyId, projectId, deletion: name, what: scope.what, matched }
    logger.info(fields, 'deletion accepted')
    return reply.code(204).header('location', urlOf(projectId, name)).send()
  }

  app.delete(
    '/3.0/projects/:projectId/events/:collection',
    { config: { doc: DELETION_DOCS.events } },
    async (request, reply) =>
      accept(request, reply, () => parseDeletion(parametersOf(request.url), parsedBody(request), now())),
  )
  app.delete<{ Params: { readonly property: string } }>(
    '/3.0/projects/:projectId/events/:collection/properties/:property',
    { config: { doc: DELETION_DOCS.property } },
    async (request, reply) => accept(request, reply, () => parsePropertyDeletion(request.params.property)),
  )
  app.put<{ Params: CollectionParams }>(
    '/3.0/projects/:projectId/events/:collection',
    { config: { doc: DELETION_DOCS.update } },
    (request) => {
      requireMaster(context, request, request.params.projectId)
      throw new AppError('KeyNotAuthorizedError', 'Changing stored events is not switched on for this project.')
    },
  )

  app.get<{ Params: { readonly projectId: string } }>(
    '/3.0/projects/:projectId/deletions',
    { config: { doc: DELETION_DOCS.list } },
    (request, reply) => {
      const { projectId: id } = request.params
      requireMaster(context, request, id)
      const all = definitions.list('deletion', id).toSorted((a, b) => b.createdAtMs - a.createdAtMs)
      return reply.send(all.flatMap((definition) => view(definition, filesOf(definition)) ?? []))
    },
  )
  app.get<{ Params: { readonly projectId: string; readonly deletion: string } }>(
    '/3.0/projects/:projectId/deletions/:deletion',
    { config: { doc: DELETION_DOCS.get } },
    (request, reply) => {
      const { projectId: id, deletion } = request.params
      requireMaster(context, request, id)
      const definition = definitions.get('deletion', id, deletion)
      const found = definition && view(definition, filesOf(definition))
      if (found === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found.')
      return reply.send(found)
    },
  )
}

const requireMaster = (context: QueryContext, request: FastifyRequest, projectId: string): Grant =>
  masterOnly(context.authenticator.authenticate(projectId, presentedKey(request)))

/** Undefined when there is none. Throws InvalidJSONError. */
function parsedBody(request: FastifyRequest): unknown {
  const body = bodyOf(request)
  return body.length === 0 ? undefined : parseJson(body)
}

const urlOf = (projectId: string, id: string): string =>
  `/3.0/projects/${encodeURIComponent(projectId)}/deletions/${id}`

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())

function view(definition: Definition, files: Readonly<Record<string, unknown>> | undefined): object | undefined {
  const deletion: Deletion | null = deletionOf(definition)
  if (deletion === null) return undefined
  const { id, projectId, collection, what, atMs, timeframe, segments, progress } = deletion
  return {
    id,
    event_collection: collection,
    kind: what,
    ...(what === 'property' && { property_name: segments.join('.') }),
    ...(what === 'events' && {
      filters: definition.value['filters'],
      timeframe: timeframe && { start: iso(timeframe.startMs), end: iso(timeframe.endMs) },
    }),
    state: progress.state,
    ...(files !== undefined && { files }),
    matched_events: progress.matched,
    requested_at: iso(atMs),
    started_at: iso(progress.startedAtMs),
    done_at: iso(progress.doneAtMs),
    url: urlOf(projectId, id),
  }
}
