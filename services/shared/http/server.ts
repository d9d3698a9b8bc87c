import type { Socket } from 'node:net'
import { gzip } from 'node:zlib'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from '../telemetry/logger.ts'
import type { Readiness } from '../telemetry/health.ts'
import { Gauge, type Registry } from '../telemetry/metrics.ts'
import { readBody } from './body.ts'
import { ByteGate } from './byte-gate.ts'
import { answerClientError } from './client-error.ts'
import { CORS_HEADERS } from './cors.ts'
import { AppError } from '../errors.ts'
import { errorAnswer } from './error-answer.ts'
import { eventConstraint } from './event-address.ts'
import type { DescribedRoute } from './openapi.ts'
import { jsonpFunction, jsonpScript } from './jsonp.ts'
import { registerOperations } from './operations.ts'
import { queryValue } from './presented-key.ts'
import { createRequestIds } from './request-id.ts'
import { RequestMeters, type RouteMeter } from './request-meters.ts'
import { RouteTable } from './route-table.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Bytes of this request's body that the gate counts. */
    heldBytes: number
    routeMeter: RouteMeter | null
  }
  interface FastifyInstance {
    /** The routes that have a description, as they were registered. */
    describedRoutes: DescribedRoute[]
  }
  interface FastifyContextConfig {
    /** A route that is called for every event rather than for every person: its successes are logged at level debug. */
    isFrequent?: boolean
  }
}

export interface ServerOptions {
  readonly logger: Logger
  readonly metrics: Registry
  /** Of one request body, as sent and inflated. */
  readonly bodyBytesMax: number
  /** Of all request bodies that are in progress at once; beyond it callers get 503. Default 64 MiB. */
  readonly bodiesBytesMax?: number
  readonly isReady: () => Promise<Readiness>
  /** Of the request line and all headers together. Default 64 KiB: an event may travel in the URL. */
  readonly headerBytesMax?: number
  /** For the headers to arrive. Default 15,000. */
  readonly headersTimeoutMs?: number
  /** For the whole request to arrive. Default 120,000. */
  readonly requestTimeoutMs?: number
  /** Answers of at least so many characters are compressed for callers that take gzip. Default 16 KiB. */
  readonly gzipCharactersMin?: number
}

/** What every body counts as: the one type that has a parser. */
const BODY_TYPE = 'application/octet-stream'
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const ACCEPTS_GZIP = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|\s|$))/i

const header = (reply: FastifyReply, name: string): string => String(reply.getHeader(name) ?? '')

/**
 * A server without services: they are registered on it, and then it listens. It gives every answer its CORS headers
 * and request id, reads bodies as bytes (`bodyOf`) within limits, turns errors into the API's JSON, wraps JSONP,
 * compresses, measures and logs; and it serves `/healthz`, `/readyz`, `/metrics`.
 */
export function buildServer(options: ServerOptions): FastifyInstance {
  const { logger, metrics, bodyBytesMax, gzipCharactersMin = 16 << 10 } = options
  const headerBytesMax = options.headerBytesMax ?? 64 << 10
  const gate = new ByteGate(Math.max(options.bodiesBytesMax ?? 64 << 20, bodyBytesMax))
  const nameRequest = createRequestIds()
  const meters = new RequestMeters(metrics)
  const routes = new RouteTable()

  const begin = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.headers(CORS_HEADERS)
    reply.header('x-request-id', request.id)
  }
  const allow = (reply: FastifyReply): FastifyReply => reply.code(204).send()
  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { status, body, retryAfterS, isFault } = errorAnswer(error, request.id)
    if (isFault) logger.error({ requestId: request.id, method: request.method, err: error }, 'request failed')
    else if (status >= 500) logger.warn({ requestId: request.id, err: error }, 'request refused for now')
    // A body that was refused half-way is drained: the connection can go on, and the caller sees why.
    reply.removeHeader('connection')
    if (retryAfterS !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterS)))
    const rateLimit = error instanceof AppError ? error.rateLimit : undefined
    if (rateLimit !== undefined) {
      const { limit, resetS } = rateLimit
      reply.headers({ 'ratelimit-limit': limit, 'ratelimit-remaining': 0, 'ratelimit-reset': resetS })
    }
    return reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body))
  }

  const app = fastify({
    logger: false,
    genReqId: (message) => nameRequest(message.headers['x-request-id']),
    bodyLimit: bodyBytesMax,
    return503OnClosing: false,
    requestTimeout: options.requestTimeoutMs ?? 120_000,
    keepAliveTimeout: 65_000,
    routerOptions: {
      maxParamLength: headerBytesMax,
      ignoreTrailingSlash: true,
      constraints: { event: eventConstraint },
    },
    http: {
      maxHeaderSize: headerBytesMax,
      headersTimeout: options.headersTimeoutMs ?? 15_000,
      connectionsCheckingInterval: 5_000,
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      begin(request, reply)
      void (request.method === 'OPTIONS' ? allow(reply) : fail(error, request, reply))
    },
  })

  app.decorateRequest('heldBytes', 0)
  app.decorateRequest('routeMeter', null)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(BODY_TYPE, (request, payload, done) => {
    const held = (bytes: number): void => {
      request.heldBytes += bytes
    }
    readBody(request.raw, payload, { bytesMax: bodyBytesMax, gate }, held, done)
  })

  app.decorate('describedRoutes', [])
  app.addHook('onRoute', (route) => {
    routes.add(route.method, route.url)
    const { doc } = route.config ?? {}
    if (doc !== undefined && route.method !== 'HEAD') {
      for (const method of [route.method].flat()) app.describedRoutes.push({ method, url: route.url, doc })
    }
    const meter = meters.of(route.url, route.config?.isFrequent === true)
    const others = route.onRequest === undefined ? [] : [route.onRequest].flat()
    route.onRequest = [
      (request, _reply, done) => {
        request.routeMeter = meter
        done()
      },
      ...others,
    ]
  })

  app.addHook('onRequest', (request, reply, done) => {
    const startedAtMs = performance.now()
    begin(request, reply)
    // Also comes when the caller went away before the answer.
    reply.raw.once('close', () => {
      gate.release(request.heldBytes)
      const { statusCode, writableFinished } = reply.raw
      const seconds = (performance.now() - startedAtMs) / 1_000
      const meter = request.routeMeter ?? meters.unmatched
      meter.observe(request.method, statusCode, seconds)
      const level = writableFinished && statusCode < 400 && meter.isFrequent ? 'debug' : 'info'
      if (!logger.isLevelEnabled(level)) return
      const { id: requestId, method } = request
      logger[level](
        { requestId, method, route: meter.route, status: statusCode, seconds, aborted: !writableFinished },
        'request done',
      )
    })
    if (request.method === 'OPTIONS') {
      void allow(reply)
      return
    }
    // Bodies are read by what they are: browsers send JSON as text/plain, and a type that makes no sense is no fault.
    if (METHODS_WITH_BODY.has(request.method)) request.raw.headers['content-type'] = BODY_TYPE
    done()
  })

  app.addHook('onSend', (request, reply, payload: unknown, done) => {
    if (typeof payload !== 'string') return done(null, payload)
    let text = payload
    if (request.method === 'GET' && request.raw.url?.includes('jsonp=') === true) {
      const fn = jsonpFunction(queryValue(request, 'jsonp'))
      if (fn !== undefined && header(reply, 'content-type').startsWith('application/json')) {
        // Browsers do not run a script that came with an error status: the error is the function's argument.
        reply.code(200).type('application/javascript; charset=utf-8').header('x-content-type-options', 'nosniff')
        text = jsonpScript(fn, text)
      }
    }
    if (text.length < gzipCharactersMin || !ACCEPTS_GZIP.test(request.headers['accept-encoding'] ?? '')) {
      return done(null, text)
    }
    gzip(text, (error, bytes) => {
      if (error !== null) return done(error)
      reply.header('content-encoding', 'gzip').header('vary', 'Accept-Encoding').removeHeader('content-length')
      done(null, bytes)
    })
  })

  app.setErrorHandler(fail)
  app.setNotFoundHandler((request, reply) => {
    const allowed = routes.methodsOf(request.raw.url ?? '/')
    // One that is there for another kind of request (an event in the address) is not this one.
    if (allowed.length === 0 || allowed.includes(request.method)) {
      return reply.code(404).send({ message: 'Resource not found.', error_code: 'ResourceNotFoundError' })
    }
    return reply
      .code(405)
      .header('allow', allowed.join(', '))
      .send({ message: 'This resource does not have this method.', error_code: 'MethodNotAllowedError' })
  })

  // A gauge belongs to the registry it names; nobody else needs it.
  void new Gauge({
    name: 'http_request_bodies_bytes',
    help: 'Bytes of request bodies in progress.',
    registers: [metrics],
    collect() {
      this.set(gate.held)
    },
  })
  endConnectionsOnClose(app)
  registerOperations(app, { metrics, isReady: options.isReady })
  return app
}

/** How often connections that fell idle during a close are looked for. */
const IDLE_CHECK_MS = 50

/**
 * `close` ends connections that are idle at that moment; one whose request was in progress would be kept alive after its
 * answer, and the close would wait for its client to leave. Nor does it count as idle what has never sent a byte, as browsers
 * and pools of connections have them in store.
 */
function endConnectionsOnClose(app: FastifyInstance): void {
  let isClosing = false
  const connections = new Set<Socket>()
  app.server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  const endIdle = (): void => {
    app.server.closeIdleConnections()
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  }
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
  app.addHook('preClose', (done) => {
    isClosing = true
    const timer = setInterval(endIdle, IDLE_CHECK_MS)
    app.server.once('close', () => clearInterval(timer))
    done()
  })
}
