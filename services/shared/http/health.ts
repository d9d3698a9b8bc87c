import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'

/** Why a process cannot take work, by the name of what is missing; empty when it can. */
export type Unready = Readonly<Record<string, string>>

/**
 * `/healthz`: the process lives. `/readyz`: it can take work; otherwise 503 with the reasons. `/metrics`: Prometheus text.
 */
export function registerHealth(
  app: FastifyInstance,
  deps: { readonly metrics: Registry; readonly unready: () => Promise<Unready> },
): void {
  app.get('/healthz', async () => ({ status: 'alive' }))
  app.get('/readyz', async (_request, reply) => {
    const reasons = await deps.unready()
    const ready = Object.keys(reasons).length === 0
    return reply.code(ready ? 200 : 503).send(ready ? { status: 'ready' } : { status: 'not ready', reasons })
  })
  app.get('/metrics', async (_request, reply) => {
    return reply.header('content-type', deps.metrics.contentType).send(await deps.metrics.metrics())
  })
}
