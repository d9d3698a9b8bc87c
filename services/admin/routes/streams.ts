import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Stream } from '../../shared/streams/model.ts'
import type { Backfill } from '../../shared/streams/backfill.ts'
import { shownStream } from '../../shared/streams/view.ts'
import type { AdminAction } from '../audit.ts'
import { STREAM_DOCS } from '../stream-docs.ts'
import { wrong } from '../domain/fields.ts'
import { bodyOf, pathPart, requireMaster, type RouteDeps } from '../request.ts'
import type { Streams } from '../streams.ts'

interface StreamRouteDeps extends RouteDeps {
  readonly streams: Streams
}

const STREAMS = '/3.0/projects/:projectId/streams'
const STREAM = `${STREAMS}/:name`

/** A project's streams, managed with its master key: other keys are given to those who must not redirect its events. */
export function registerStreamRoutes(
  app: FastifyInstance,
  { registry, audit, settings, streams }: StreamRouteDeps,
): void {
  const shown = (stream: Stream): Readonly<Record<string, unknown>> =>
    shownStream(stream, streams.externalIdOf(stream.projectId))
  const shownBackfill = (stream: Stream, { id, startMs, endMs, createdAtMs }: Backfill) => {
    const state = streams.stateOf(stream, id)
    return {
      id,
      start: new Date(startMs).toISOString(),
      end: new Date(endMs).toISOString(),
      created_at: new Date(createdAtMs).toISOString(),
      ...(state !== undefined && { state }),
    }
  }
  const nameOf = (request: FastifyRequest): string => pathPart(request, 'name')
  const note = (action: AdminAction, request: FastifyRequest, { keyId: by, projectId }: Grant): void =>
    audit({ action, requestId: request.id, by, projectId, stream: nameOf(request) })

  app.get(STREAMS, STREAM_DOCS.list, async (request) => {
    const { projectId } = requireMaster(request, registry)
    return { external_id: streams.externalIdOf(projectId), streams: streams.list(projectId).map(shown) }
  })

  app.get(STREAM, STREAM_DOCS.get, (request) => {
    const { projectId } = requireMaster(request, registry)
    const stream = streams.get(projectId, nameOf(request))
    const state = streams.stateOf(stream, 'main')
    return { ...shown(stream), ...(state !== undefined && { state }) }
  })

  app.put(STREAM, STREAM_DOCS.put, async (request, reply) => {
    const grant = requireMaster(request, registry)
    const isTested = parseFlag((request.query as Readonly<Record<string, unknown>>)['test'], 'test') ?? true
    const body = bodyOf(request, settings)
    const { isNew, stream } = await streams.put(grant.projectId, nameOf(request), body, { isTested })
    note(isNew ? 'stream created' : 'stream replaced', request, grant)
    return reply.code(isNew ? 201 : 200).send(shown(stream))
  })

  app.delete(STREAM, STREAM_DOCS.delete, async (request, reply) => {
    const grant = requireMaster(request, registry)
    await streams.delete(grant.projectId, nameOf(request))
    note('stream deleted', request, grant)
    return reply.code(204).send()
  })

  // Whatever stands in the body of these three does not matter.
  app.post(`${STREAM}/pause`, STREAM_DOCS.pause, async (request) => {
    const grant = requireMaster(request, registry)
    const stream = await streams.setPaused(grant.projectId, nameOf(request), true)
    note('stream paused', request, grant)
    return shown(stream)
  })

  app.post(`${STREAM}/resume`, STREAM_DOCS.resume, async (request) => {
    const grant = requireMaster(request, registry)
    const stream = await streams.setPaused(grant.projectId, nameOf(request), false)
    note('stream resumed', request, grant)
    return shown(stream)
  })

  app.get(`${STREAM}/backfills`, STREAM_DOCS.backfills, (request) => {
    const { projectId } = requireMaster(request, registry)
    const stream = streams.get(projectId, nameOf(request))
    return { backfills: streams.backfills(projectId, stream.name).map((one) => shownBackfill(stream, one)) }
  })

  app.post(`${STREAM}/backfills`, STREAM_DOCS.backfill, async (request, reply) => {
    const grant = requireMaster(request, registry)
    const made = await streams.backfill(grant.projectId, nameOf(request), bodyOf(request, settings))
    note('stream back-filled', request, grant)
    return reply.code(201).send(shownBackfill(streams.get(grant.projectId, made.stream), made))
  })

  app.post(`${STREAM}/test`, STREAM_DOCS.test, async (request) => {
    const { projectId } = requireMaster(request, registry)
    return streams.test(streams.get(projectId, nameOf(request)))
  })
}

function parseFlag(value: unknown, field: string): boolean | undefined {
  if (value === undefined || value === '') return undefined
  if (value === 'true') return true
  if (value === 'false') return false
  throw wrong(field, 'must be true or false')
}
