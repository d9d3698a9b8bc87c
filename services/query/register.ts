import type { FastifyInstance } from 'fastify'
import { createQueryContext, type QueryDeps } from './context.ts'
import { createDatasets } from './datasets/datasets.ts'
import { registerAdHocRoutes } from './routes/ad-hoc.ts'
import { type DatasetPlace, registerDatasetRoutes } from './routes/datasets.ts'
import { registerDeletionRoutes } from './routes/deletions.ts'
import { registerExtractionRoutes } from './routes/extractions.ts'
import { registerSavedQueryRoutes } from './routes/saved-queries.ts'
import { registerSchemaRoutes } from './routes/schema.ts'
import { registerSqlRoutes } from './routes/sql.ts'
import { registerTailRoute, type TailPlace } from './routes/tail.ts'
import { createSavedQueries, type SavedQueryPlace } from './saved/saved-queries.ts'

export interface QueryServiceDeps extends QueryDeps {
  /** Left out: no saved queries. */
  readonly saved?: SavedQueryPlace
  /** Left out: no datasets. */
  readonly datasets?: DatasetPlace
  /** Left out: no live tails. */
  readonly tail?: TailPlace
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
  const works: QueryWork[] = []
  if (deps.datasets !== undefined) {
    const datasets = createDatasets(context, deps.datasets.work)
    registerDatasetRoutes(app, context, datasets, deps.datasets.organizationId)
    const { refresher } = datasets
    if (refresher !== undefined) works.push({ name: 'datasets', run: async (signal) => refresher.run(signal) })
  }
  registerSchemaRoutes(app, context)
  registerSqlRoutes(app, context)
  registerDeletionRoutes(app, context)
  if (deps.tail !== undefined) registerTailRoute(app, context, deps.tail)
  const { results } = context
  if (deps.saved !== undefined) {
    const saved = createSavedQueries(context, deps.saved)
    registerSavedQueryRoutes(app, context, saved)
    works.push({ name: 'cached queries', run: async (signal) => saved.refresher.run(signal) })
  }
  // Stored results of saved queries name the deletions they know of, and datasets are read from the events.
  const stopTelling = deps.definitions.onChange((kind, projectId) => {
    // All of the project's: a funnel's result comes from several collections.
    if (kind === 'deletion') results.forget(projectId)
  })
  app.addHook('onClose', (_app, done) => {
    stopTelling()
    done()
  })
  return works
}
