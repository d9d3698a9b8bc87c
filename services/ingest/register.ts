import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'
import { bodyOf } from '../shared/http/body.ts'
import { CARRIES_EVENT } from '../shared/http/event-address.ts'
import { errorAnswer } from '../shared/http/error-answer.ts'
import { queryValue } from '../shared/http/presented-key.ts'
import type { ClientAddress } from '../shared/http/client-address.ts'
import type { EventLog } from '../shared/log/port.ts'
import type { Authenticator, Grant } from '../shared/registry/grant.ts'
import type { Logger } from '../shared/telemetry/logger.ts'
import type { Registry } from '../shared/telemetry/metrics.ts'
import { bulkAnswer, CREATED, JSON_TYPE, PIXEL } from './answers.ts'
import { RECORD_DOCS } from './docs.ts'
import { decodeData } from './domain/data-parameter.ts'
import type { EnrichmentSources } from './domain/enrichment/addon.ts'
import { createIngestMetrics } from './metrics.ts'
import { type CollectionOutcome, Recorder } from './recorder.ts'
import { allowedRedirect } from './redirect.ts'
import { authorize, idempotencyKey, parameter } from './request.ts'
import type { IngestSettings } from './settings.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a request that records by POST: checked before its body is read. */
    recordingGrant: Grant | null
  }
}

export interface IngestDeps {
  readonly log: Pick<EventLog, 'append'>
  readonly eventPartitions: number
  readonly authenticator: Authenticator
  readonly metrics: Registry
  readonly settings: IngestSettings
  readonly sources: EnrichmentSources
  /** Told to events that ask for it. */
  readonly clientAddress: ClientAddress
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly logger: Logger
}

/**
 * Recording of events, every form of it: by POST one by one or in bulk, and by GET with the event in the address.
 * An event is acknowledged once the log has it for good.
 */
export function registerIngest(app: FastifyInstance, deps: IngestDeps): void {
  const metrics = createIngestMetrics(deps.metrics)
  const recorder = new Recorder({ ...deps, metrics })

  const record = async (
    request: FastifyRequest,
    grant: Grant,
    body: Buffer,
    collection: string | undefined,
  ): Promise<readonly CollectionOutcome[]> =>
    recorder.record({
      grant,
      body,
      collection,
      idempotencyKey: idempotencyKey(request),
      visit: { address: () => deps.clientAddress(request.raw), userAgent: request.headers['user-agent'] },
    })
  const recordOne = async (request: FastifyRequest, grant: Grant, body: Buffer): Promise<void> => {
    const [outcome] = await record(request, grant, body, parameter(request, 'collection'))
    const fault = outcome?.faults.get(0)
    if (fault !== undefined) throw new RejectedEvent(fault.code, fault.message)
  }
  const grantOf = (request: FastifyRequest): Grant => request.recordingGrant ?? authorize(deps.authenticator, request)

  /** By the address alone: the answer is an image, a redirect, or JSON where the caller asks for it. */
  const recordByGet = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const data = queryValue(request, 'data')
    if (data === undefined) throw new AppError('ResourceNotFoundError', 'Resource not found.')
    reply.header('cache-control', 'no-store')
    const redirect = queryValue(request, 'redirect')
    const target = redirect === undefined ? undefined : allowedRedirect(redirect, deps.settings.redirectHosts)
    if (redirect !== undefined && target === undefined) {
      throw new AppError('InvalidRequestError', `The parameter 'redirect' does not lead to a host that is allowed.`)
    }
    try {
      const grant = authorize(deps.authenticator, request)
      const body = decodeData(data)
      if (body === undefined) throw new AppError('InvalidRequestError', `The parameter 'data' is not base64.`)
      // Mail filters and link previews ask for the head alone: nobody has opened or clicked anything then.
      if (request.method !== 'HEAD') await recordOne(request, grant, body)
    } catch (error) {
      if (target === undefined) throw error
      // Whoever follows a link in a mail wants to arrive; that the click was not recorded is ours to know.
      metrics.redirectsFailed.inc()
      countRefusal(error, request)
    }
    if (target !== undefined) return reply.redirect(target, 302)
    const wantsJson = (request.headers.accept ?? '').includes('application/json') || queryValue(request, 'jsonp')
    return wantsJson ? reply.type(JSON_TYPE).send(CREATED) : reply.type('image/gif').send(PIXEL)
  }

  const countRefusal = (error: unknown, request: FastifyRequest): void => {
    if (error instanceof RejectedEvent) return // counted as an event
    const { error_code: reason } = errorAnswer(error, request.id).body
    metrics.requestsRejected.inc({ reason })
  }

  app.register(async (scope) => {
    scope.decorateRequest('recordingGrant', null)
    scope.setErrorHandler((error, request) => {
      if (request.method !== 'GET' || queryValue(request, 'data') !== undefined) countRefusal(error, request)
      throw error // to the server's own handler, which answers
    })
    const frequent = { isFrequent: true }
    // Before the body is read: whoever may not record cannot make this process hold bytes either.
    const onRequest = (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
      try {
        request.recordingGrant = authorize(deps.authenticator, request)
        done()
      } catch (error) {
        done(error instanceof Error ? error : new Error('not authorized', { cause: error }))
      }
    }
    scope.post(
      '/3.0/projects/:projectId/events/:collection',
      { config: { ...frequent, doc: RECORD_DOCS.one }, onRequest },
      async (request, reply) => {
        await recordOne(request, grantOf(request), bodyOf(request))
        return reply.code(201).type(JSON_TYPE).send(CREATED)
      },
    )
    scope.post(
      '/3.0/projects/:projectId/events',
      { config: { ...frequent, doc: RECORD_DOCS.many }, onRequest },
      async (request, reply) => {
        const outcomes = await record(request, grantOf(request), bodyOf(request), undefined)
        return reply.type(JSON_TYPE).send(bulkAnswer(outcomes))
      },
    )
    scope.get(
      '/3.0/projects/:projectId/events/:collection',
      // Without an event, this address is the collection's schema, and somebody else's.
      { config: { ...frequent, doc: RECORD_DOCS.get }, constraints: CARRIES_EVENT },
      recordByGet,
    )
  })
}

/** A single event that broke a rule: told as the request's error, counted as an event. */
class RejectedEvent extends AppError {}
