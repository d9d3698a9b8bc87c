import type { FastifyInstance } from 'fastify'
import { createQueryContext, type QueryContext, type QueryDeps } from './context.ts'
import { type DeletionListener, tellOfDeletions } from './deletions/listeners.ts'
import { registerAdHocRoutes } from './routes/ad-hoc.ts'
import { registerDeletionRoutes } from './routes/deletions.ts'
import { registerExtractionRoutes } from './routes/extractions.ts'
import { registerSavedQueryRoutes } from './routes/saved-queries.ts'
import { registerSchemaRoutes } from './routes/schema.ts'
import { registerSqlRoutes } from './routes/sql.ts'
import { createSavedQueries, type SavedQueries, type SavedQueryPlace } from './saved/saved-queries.ts'

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
  registerSqlRoutes(app, context)
  registerExtractionRoutes(app, context)
  registerSchemaRoutes(app, context)
  registerDeletionRoutes(app, context)
  const { results } = context
  // All of the project's: a funnel's result comes from several collections.
  const listeners: DeletionListener[] = [{ onDeleted: (projectId) => results.forget(projectId) }]
  const works: QueryWork[] = []
  if (deps.saved !== undefined) {
    const saved = createSavedQueries(context, deps.saved)
    registerSavedQueryRoutes(app, context, saved)
    works.push({ name: 'cached queries', run: async (signal) => saved.refresher.run(signal) })
    listeners.push({ onDeleted: (projectId, collection) => dropCachedResults(context, saved, projectId, collection) })
  }
  const stopTelling = tellOfDeletions(deps.definitions, listeners)
  app.addHook('onClose', (_app, done) => {
    stopTelling()
    done()
  })
  return works
}

/** A warehouse that is away keeps the old results for now; each step of the deletion tries again. */
function dropCachedResults(context: QueryContext, saved: SavedQueries, projectId: string, collection: string): void {
  saved.dropCachedResults(projectId, collection).catch((error: unknown) => {
    context.logger.warn({ projectId, err: error }, 'results of cached queries could not be dropped')
  })
}
