import type { FastifyInstance, FastifyRequest } from 'fastify'
import { USAGE_DOCS } from '../docs.ts'
import { requireMaster, type RouteDeps } from '../request.ts'

/** What a user interface asks before it offers to keep a query's result: how many there are, and that nothing limits them. */
export function registerUsageRoutes(app: FastifyInstance, { registry }: RouteDeps): void {
  const cached = (request: FastifyRequest): number => {
    const { projectId } = requireMaster(request, registry)
    return registry.definitions.list('saved-query', projectId).filter(({ value }) => isCached(value)).length
  }
  app.get('/3.0/projects/:projectId/organization-usage', USAGE_DOCS.usage, (request, reply) =>
    reply.send({ cached_queries: { limited: false, limit: 0, current_usage: cached(request) } }),
  )
  app.get('/3.0/projects/:projectId/limits', USAGE_DOCS.limits, (request, reply) =>
    reply.send({ cached_queries: { organization_limit: 0, in_use: cached(request) } }),
  )
}

/** One whose result is kept up to date: the query service writes so in its definitions. */
const isCached = (value: Readonly<Record<string, unknown>>): boolean => Number(value['refreshRateS'] ?? 0) > 0
