import type { FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'
import { bodyOf as rawBody } from '../shared/http/body.ts'
import { parseJson } from '../shared/http/json.ts'
import { presentedKey } from '../shared/http/presented-key.ts'
import { type Grant, masterOnly } from '../shared/registry/grant.ts'
import type { Registry } from '../shared/registry/registry.ts'
import type { AdminSettings } from './app.ts'
import type { Audit } from './audit.ts'

export interface RouteDeps {
  readonly registry: Registry
  readonly audit: Audit
  readonly settings: AdminSettings
}

/** Deep enough for any definition, and shallow enough for anything that walks one. */
const JSON_DEPTH_MAX = 64

/** The body, parsed. Throws RequestEntityTooLargeError, InvalidJSONError. */
export function bodyOf(request: FastifyRequest, settings: AdminSettings): unknown {
  const body = rawBody(request)
  if (body.length > settings.bodyBytesMax) {
    throw new AppError('RequestEntityTooLargeError', `The body is larger than ${settings.bodyBytesMax} bytes.`)
  }
  return parseJson(body, JSON_DEPTH_MAX)
}

/** A segment of the path, by its name in the route. */
export function pathPart(request: FastifyRequest, name: string): string {
  return (request.params as Readonly<Record<string, string | undefined>>)[name] ?? ''
}

/** The grant of the master key of the project in the path. Throws AdminOnlyEndpointError for every other key of the project. */
export function requireMaster(request: FastifyRequest, registry: Registry): Grant {
  return masterOnly(registry.authenticate(pathPart(request, 'projectId'), presentedKey(request)))
}

/** The same where the path has no project: the key tells which. */
export function requireAnyMaster(request: FastifyRequest, registry: Registry): Grant {
  return masterOnly(registry.authenticateKey(presentedKey(request)))
}

/** The organization's id, once its key has been presented. */
export function requireOrganization(request: FastifyRequest, registry: Registry): string {
  const organizationId = pathPart(request, 'organizationId')
  registry.authenticateOrganization(organizationId, presentedKey(request))
  return organizationId
}

export const notFound = (): AppError => new AppError('ResourceNotFoundError', 'Resource not found')
