import type { FastifyInstance } from 'fastify'
import { createQueryContext, type QueryDeps } from './context.ts'
import { registerAdHocRoutes } from './routes/ad-hoc.ts'
import { type DatasetPlace, registerDatasetRoutes } from './routes/datasets.ts'
import { registerExtractionRoutes } from './routes/extractions.ts'

/** Everything that is asked of the warehouse over HTTP. */
export function registerQuery(app: FastifyInstance, deps: QueryDeps & { readonly datasets?: DatasetPlace }): void {
  const context = createQueryContext(deps)
  registerAdHocRoutes(app, context)
  registerExtractionRoutes(app, context)
  if (deps.datasets !== undefined) registerDatasetRoutes(app, context, deps.datasets)
}
