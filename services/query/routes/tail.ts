import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { EventLog } from '../../shared/log/port.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { callerGone, parametersOf, type QueryContext } from '../context.ts'
import { TAIL_DOC } from '../docs/tail.ts'
import { TailHub } from '../tail/hub.ts'
import { parseTailRequest } from '../tail/request.ts'

/** Where tails read what comes in. */
export interface TailPlace {
  readonly log: Pick<EventLog, 'follow'>
}

/** `GET /3.0/projects/:id/tail`: events as they come in, as server-sent events, for as long as the caller stays. */
export function registerTailRoute(app: FastifyInstance, context: QueryContext, { log }: TailPlace): void {
  const { metrics, logger } = context
  const settings = context.settings.tail
  const hub = new TailHub({ log, settings, metrics, logger })
  app.addHook('preClose', (done) => {
    hub.close()
    done()
  })

  app.get<{ Params: { readonly id: string } }>(
    '/3.0/projects/:id/tail',
    { config: { doc: TAIL_DOC } },
    async (request, reply) => {
      const grantNow = (): Grant => context.authorize(request, request.params.id, 'queries')
      grantNow()
      const asked = parseTailRequest(parametersOf(request.url), settings.eventsPerSecondMax)
      const stream =
        request.method === 'HEAD' ? Readable.from([]) : await hub.open({ request: asked, grantNow }, callerGone(reply))
      return reply
        .type('text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store, no-transform')
        .header('x-accel-buffering', 'no') // some proxies gather an answer before they pass it on
        .send(stream)
    },
  )
}
