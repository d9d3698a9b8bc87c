import type { FastifyInstance } from 'fastify'
import type { Grant } from '../../shared/registry/grant.ts'
import { PROJECT_DOCS } from '../docs.ts'
import { projectView } from '../domain/views.ts'
import { notFound, requireAnyMaster, requireMaster, type RouteDeps } from '../request.ts'

/** What a project's master key sees of its project. */
export function registerProjectRoutes(app: FastifyInstance, { registry }: RouteDeps): void {
  const view = (grant: Grant): object => {
    const project = registry.project(grant.projectId)
    if (project === undefined) throw notFound()
    return projectView(project)
  }

  // A master key is one project's, so this is a list of one.
  app.get('/3.0/projects', PROJECT_DOCS.list, async (request) => [view(requireAnyMaster(request, registry))])

  app.get('/3.0/projects/:projectId', PROJECT_DOCS.get, async (request) => view(requireMaster(request, registry)))
}
