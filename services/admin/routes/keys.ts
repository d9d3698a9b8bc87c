import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ProjectKey } from '../../shared/registry/model.ts'
import type { AdminAction } from '../audit.ts'
import { KEY_DOCS } from '../docs.ts'
import { parseKeyBody } from '../domain/key-body.ts'
import { parseKeyQuery } from '../domain/key-query.ts'
import { keyView } from '../domain/views.ts'
import { bodyOf, notFound, pathPart, requireMaster, type RouteDeps } from '../request.ts'

const KEYS = '/3.0/projects/:projectId/keys'
const KEY = `${KEYS}/:key`

/**
 * A project's keys, managed with its master key. The predefined read and write keys are among them; the master key is
 * not: no key can lock its own project.
 */
export function registerKeyRoutes(app: FastifyInstance, { registry, audit, settings }: RouteDeps): void {
  /** The key in the path, once the master key has been presented. */
  const open = (request: FastifyRequest): { readonly by: string; readonly key: ProjectKey } => {
    const { projectId, keyId: by } = requireMaster(request, registry)
    const key = registry.key(projectId, pathPart(request, 'key'))
    if (key === undefined) throw notFound()
    return { by, key }
  }
  const note = (action: AdminAction, request: FastifyRequest, by: string, key: ProjectKey): void =>
    audit({ action, requestId: request.id, by, projectId: key.projectId, keyId: key.id })

  app.get(KEYS, KEY_DOCS.list, async (request) => {
    const { projectId } = requireMaster(request, registry)
    return registry.keys(projectId, parseKeyQuery(request.query as Readonly<Record<string, unknown>>)).map(keyView)
  })

  app.post(KEYS, KEY_DOCS.create, async (request, reply) => {
    const { projectId, keyId: by } = requireMaster(request, registry)
    const key = await registry.createKey(projectId, parseKeyBody(bodyOf(request, settings), { isActiveDefault: true }))
    note('key created', request, by, key)
    return reply.code(201).send(keyView(key))
  })

  app.get(KEY, KEY_DOCS.get, async (request) => keyView(open(request).key))

  app.post(KEY, KEY_DOCS.replace, async (request) => {
    const { by, key } = open(request)
    // A body that forgets `is_active` must not bring a revoked key back.
    const fields = parseKeyBody(bodyOf(request, settings), { isActiveDefault: false })
    const changed = await registry.replaceKey(key.projectId, key.id, fields)
    note('key updated', request, by, key)
    return keyView(changed)
  })

  // Whatever stands in the body of these three does not matter: SDKs send nothing, `""` or `{}`.
  app.post(`${KEY}/revoke`, KEY_DOCS.revoke, async (request) => {
    const { by, key } = open(request)
    const changed = await registry.revoke(key.projectId, key.id)
    note('key revoked', request, by, key)
    return keyView(changed)
  })

  app.post(`${KEY}/unrevoke`, KEY_DOCS.unrevoke, async (request) => {
    const { by, key } = open(request)
    const changed = await registry.unrevoke(key.projectId, key.id)
    note('key unrevoked', request, by, key)
    return keyView(changed)
  })

  app.delete(KEY, KEY_DOCS.delete, async (request, reply) => {
    const { by, key } = open(request)
    await registry.deleteKey(key.projectId, key.id)
    note('key deleted', request, by, key)
    return reply.code(204).send()
  })
}
