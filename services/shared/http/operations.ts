import type { FastifyInstance } from 'fastify'
import type { Readiness } from '../telemetry/health.ts'
import type { Registry } from '../telemetry/metrics.ts'

const QUIET = { config: { isFrequent: true } } as const

/** `/healthz` (the process runs), `/readyz` (it can take work, or why not), `/metrics` (Prometheus text). */
export function registerOperations(
  app: FastifyInstance,
  deps: { readonly metrics: Registry; readonly isReady: () => Promise<Readiness> },
): void {
  app.get('/healthz', QUIET, () => ({ status: 'ok' }))
  app.get('/readyz', QUIET, async (_request, reply) => {
    const { ready, problems } = await deps.isReady()
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', problems })
  })
  app.get('/metrics', QUIET, async (_request, reply) =>
    reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
  )
}
