import type { FastifyInstance } from 'fastify'
import { createQueryContext, type QueryDeps } from './context.ts'
import { registerAdHocRoutes } from './routes/ad-hoc.ts'
import { registerExtractionRoutes } from './routes/extractions.ts'
import { registerSavedQueryRoutes } from './routes/saved-queries.ts'
import { createSavedQueries, type SavedQueryPlace } from './saved/saved-queries.ts'

export interface QueryServiceDeps extends QueryDeps {
  /** Left out: no saved queries. */
  readonly saved?: SavedQueryPlace
}

/** What the service does besides answering. */
export interface QueryWork {
  readonly name: string
  /** Until `signal` aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

/** Everything that is asked of the warehouse over HTTP. Gives the work to be done in the background. */
export function registerQuery(app: FastifyInstance, deps: QueryServiceDeps): readonly QueryWork[] {
  const context = createQueryContext(deps)
  registerAdHocRoutes(app, context)
  registerExtractionRoutes(app, context)
  if (deps.saved === undefined) return []
  const saved = createSavedQueries(context, deps.saved)
  registerSavedQueryRoutes(app, context, saved)
  return [{ name: 'cached queries', run: async (signal) => saved.refresher.run(signal) }]
}
