import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Readiness } from '../telemetry/health.ts'
import type { Registry } from '../telemetry/metrics.ts'
import type { RouteDoc } from './route-doc.ts'

const quiet = (doc: Omit<RouteDoc, 'tag' | 'keys'>): { config: { isFrequent: true; doc: RouteDoc } } => ({
  config: { isFrequent: true, doc: { tag: 'Operations', keys: [], ...doc } },
})

const DOCS = {
  health: quiet({
    operationId: 'getHealth',
    summary: 'Whether the process runs',
    answers: { 200: { description: 'It does.', schema: Type.Object({ status: Type.String() }) } },
  }),
  ready: quiet({
    operationId: 'getReadiness',
    summary: 'Whether the process can take work',
    answers: {
      200: {
        description: 'It can.',
        schema: Type.Object({ status: Type.String(), problems: Type.Array(Type.String()) }),
      },
      503: { description: 'It cannot; `problems` says why.' },
    },
  }),
  metrics: quiet({
    operationId: 'getMetrics',
    summary: 'Metrics for Prometheus',
    answers: { 200: { description: 'Text.', contentTypes: ['text/plain'] } },
  }),
}

/** `/healthz` (the process runs), `/readyz` (it can take work, or why not), `/metrics` (Prometheus text). */
export function registerOperations(
  app: FastifyInstance,
  deps: { readonly metrics: Registry; readonly isReady: () => Promise<Readiness> },
): void {
  app.get('/healthz', DOCS.health, () => ({ status: 'ok' }))
  app.get('/readyz', DOCS.ready, async (_request, reply) => {
    const { ready, problems } = await deps.isReady()
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', problems })
  })
  app.get('/metrics', DOCS.metrics, async (_request, reply) =>
    reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
  )
}
