import type { FastifyInstance } from 'fastify'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { CollectionsOf } from '../app.ts'
import { PROJECT_DOCS } from '../docs.ts'
import { projectView } from '../domain/views.ts'
import { notFound, requireAnyMaster, requireMaster, type RouteDeps } from '../request.ts'

interface ProjectRouteDeps extends RouteDeps {
  readonly collections: CollectionsOf
  readonly logger: Pick<Logger, 'warn'>
}

/** What a project's master key sees of its project. */
export function registerProjectRoutes(app: FastifyInstance, { registry, collections, logger }: ProjectRouteDeps): void {
  const view = async (grant: Grant): Promise<object> => {
    const project = registry.project(grant.projectId)
    if (project === undefined) throw notFound()
    const names = await collections(grant).catch((error: unknown) => {
      // The project is told all the same: its keys and names do not depend on the warehouse.
      logger.warn({ error, projectId: project.id }, 'collections could not be listed')
      return []
    })
    const saved = registry.definitions.list('saved-query', project.id).map(({ name }) => name)
    return projectView(project, { collections: names, savedQueries: saved })
  }

  // A master key is one project's, so this is a list of one.
  app.get('/3.0/projects', PROJECT_DOCS.list, async (request) => [await view(requireAnyMaster(request, registry))])

  app.get('/3.0/projects/:projectId', PROJECT_DOCS.get, async (request) => view(requireMaster(request, registry)))
}
