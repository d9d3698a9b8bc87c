import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { masterOnly } from '../../shared/registry/grant.ts'
import { AppError } from '../../shared/errors.ts'
import { presentedKey } from '../../shared/http/presented-key.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import { bodyFields, callerGone, type QueryContext } from '../context.ts'
import { savedQueryDocs } from '../docs/saved-queries.ts'
import { requireDefinition, requireResult } from '../saved/access.ts'
import { savedQueryOf } from '../saved/definition.ts'
import type { SavedQueries } from '../saved/saved-queries.ts'

interface ProjectParams {
  readonly id: string
}

interface QueryParams extends ProjectParams {
  readonly name: string
}

/** `/3.0/projects/:id/queries/saved` and what is below it, and the same as `/queries/cached`. */
export function registerSavedQueryRoutes(app: FastifyInstance, context: QueryContext, saved: SavedQueries): void {
  const grantOf = (request: FastifyRequest<{ Params: ProjectParams }>): Grant =>
    context.authenticator.authenticate(request.params.id, presentedKey(request))

  for (const word of ['saved', 'cached']) {
    const path = `/3.0/projects/:id/queries/${word}`
    const docs = savedQueryDocs(word === 'cached')

    app.get<{ Params: ProjectParams }>(path, { config: { doc: docs.list } }, async (request, reply) => {
      masterOnly(grantOf(request))
      return send(reply, JSON.stringify(await saved.list(request.params.id, callerGone(reply))))
    })

    app.get<{ Params: QueryParams }>(`${path}/:name`, { config: { doc: docs.get } }, async (request, reply) => {
      const { id, name } = request.params
      const definition = saved.get(id, name)
      requireDefinition(grantOf(request), name, refreshRateOf(definition))
      return send(reply, JSON.stringify(await saved.show(there(definition), callerGone(reply))))
    })

    app.put<{ Params: QueryParams }>(`${path}/:name`, { config: { doc: docs.put } }, async (request, reply) => {
      masterOnly(grantOf(request))
      const { id, name } = request.params
      const { isNew, definition } = await saved.put(id, name, bodyFields(request))
      reply.code(isNew ? 201 : 200)
      return send(reply, JSON.stringify(await saved.show(definition, callerGone(reply))))
    })

    app.delete<{ Params: QueryParams }>(`${path}/:name`, { config: { doc: docs.remove } }, async (request, reply) => {
      masterOnly(grantOf(request))
      await saved.delete(request.params.id, request.params.name)
      return reply.code(204).send()
    })

    app.get<{ Params: QueryParams }>(
      `${path}/:name/result`,
      { config: { doc: docs.result } },
      async (request, reply) => {
        const { id, name } = request.params
        const grant = grantOf(request)
        const definition = saved.get(id, name)
        requireResult(grant, name, refreshRateOf(definition))
        const answer = await saved.answer(there(definition), grant, callerGone(reply))
        if (answer.ageS !== null) reply.header('age', answer.ageS)
        // A result is JSON text already, and may be large.
        const parts = [JSON.stringify(answer.definition).slice(0, -1), `"result":${answer.resultText}`]
        if (answer.metadataText !== '') parts.push(`"execution_metadata":${answer.metadataText}`)
        return send(reply, `${parts.join(',')}}`)
      },
    )
  }
}

const refreshRateOf = (definition: Definition | undefined): number | undefined =>
  definition === undefined ? undefined : savedQueryOf(definition).refreshRateS

function there(definition: Definition | undefined): Definition {
  if (definition !== undefined) return definition
  throw new AppError('ResourceNotFoundError', 'Resource not found: saved query.')
}

const send = (reply: FastifyReply, json: string): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(json)
