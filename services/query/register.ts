import type { FastifyInstance } from 'fastify'
import { createQueryContext, type QueryDeps } from './context.ts'
import { tellOfDeletions } from './deletions/listeners.ts'
import { registerAdHocRoutes } from './routes/ad-hoc.ts'
import { type DatasetPlace, registerDatasetRoutes } from './routes/datasets.ts'
import { registerDeletionRoutes } from './routes/deletions.ts'
import { registerExtractionRoutes } from './routes/extractions.ts'
import { registerSchemaRoutes } from './routes/schema.ts'

/** Everything that is asked of the warehouse over HTTP. */
export function registerQuery(app: FastifyInstance, deps: QueryDeps & { readonly datasets?: DatasetPlace }): void {
  const context = createQueryContext(deps)
  registerAdHocRoutes(app, context)
  registerExtractionRoutes(app, context)
  if (deps.datasets !== undefined) registerDatasetRoutes(app, context, deps.datasets)
  registerSchemaRoutes(app, context)
  registerDeletionRoutes(app, context)
  const { results } = context
  const stopTelling = tellOfDeletions(deps.definitions, [
    // All of the project's: a funnel's result comes from several collections.
    { onDeleted: (projectId) => results.forget(projectId) },
  ])
  app.addHook('onClose', (_app, done) => {
    stopTelling()
    done()
  })
}
