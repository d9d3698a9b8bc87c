import { randomUUID } from 'node:crypto'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { Histogram, type Registry } from 'prom-client'
import { AppError } from '../errors.ts'
import type { Logger } from '../telemetry/logger.ts'
import { acceptRawBodies } from './body.ts'
import { CORS_HEADERS } from './cors.ts'
import { failureOf } from './failure.ts'
import { registerHealth, type Unready } from './health.ts'
import { jsonpFunction, sendJsonp } from './jsonp.ts'

export interface ServerOptions {
  readonly logger: Logger
  readonly metrics: Registry
  /** Of one request, before and after inflating. */
  readonly bodyBytesMax: number
  readonly unready: () => Promise<Unready>
}

const SANE_REQUEST_ID = /^[\w.:-]{1,128}$/
/** One path segment: a collection of 64 characters, percent-encoded, or a key. */
const PARAM_LENGTH_MAX = 1_024
/** Beacons carry an event in the URL. */
const HEADER_BYTES_MAX = 64 * 1024

/**
 * An HTTP server that services register their routes on. Whatever the route, every answer has the CORS headers and a
 * request id, every failure is `{message, error_code}`, a JSONP request gets its failure as a script, and OPTIONS needs no key.
 * Log lines name the route's pattern, never the URL: keys travel in it.
 */
export function buildServer(options: ServerOptions): FastifyInstance {
  const { logger, metrics } = options
  const app = fastify({
    bodyLimit: options.bodyBytesMax,
    genReqId: (request) => {
      const given = request.headers['x-request-id']
      return typeof given === 'string' && SANE_REQUEST_ID.test(given) ? given : randomUUID()
    },
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX, ignoreTrailingSlash: true },
    return503OnClosing: true,
    http: { maxHeaderSize: HEADER_BYTES_MAX },
    connectionTimeout: 0,
    requestTimeout: 120_000,
    keepAliveTimeout: 65_000,
    frameworkErrors: (error, request, reply) => void fail(error, request, reply),
    clientErrorHandler: (error, socket) => {
      // Not even a request: nothing of ours has seen it.
      const status = (error as { code?: string }).code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
      const body = JSON.stringify({ message: 'The request is not valid HTTP.', error_code: 'InvalidRequestError' })
      if (socket.writable) {
        socket.end(
          `HTTP/1.1 ${status} Bad Request\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
        )
      }
    },
  })
  acceptRawBodies(app, options.bodyBytesMax)

  const seconds = new Histogram({
    name: 'http_request_seconds',
    help: 'Time from the first byte of a request to the last of its answer, by route and status.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [metrics],
  })
  // Looking a series up by labels builds an object and a hash each time; the hot routes have few.
  const series = new Map<string, Histogram.Internal<'method' | 'route' | 'status'>>()

  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { failure, isBug } = failureOf(error)
    if (isBug) {
      logger.error({ err: error, requestId: request.id, uniqueId: failure.body.unique_id }, 'request failed')
    } else if (failure.status >= 500) {
      const { code, details } = error as AppError
      logger.warn({ code, details, requestId: request.id }, 'request not served')
    }
    setHeaders(reply, request)
    if (failure.retryAfterS !== undefined) reply.header('retry-after', String(Math.ceil(failure.retryAfterS)))
    const name = jsonpOrNothing(request)
    if (name !== undefined) return sendJsonp(reply, name, JSON.stringify(failure.body))
    return reply
      .code(failure.status)
      .header('content-type', 'application/json; charset=utf-8')
      .send(JSON.stringify(failure.body))
  }

  app.addHook('onRequest', (request, reply, done) => {
    setHeaders(reply, request)
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none'
    const key = `${request.method} ${route} ${reply.statusCode}`
    let one = series.get(key)
    if (one === undefined) {
      one = seconds.labels(request.method, route, String(reply.statusCode))
      series.set(key, one)
    }
    one.observe(reply.elapsedTime / 1000)
    if (logger.isLevelEnabled('debug')) {
      logger.debug(
        {
          requestId: request.id,
          method: request.method,
          route,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
        },
        'request served',
      )
    }
    done()
  })
  app.setErrorHandler((error, request, reply) => fail(error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    if (request.method === 'OPTIONS') return reply.code(204).send()
    const others = OTHER_METHODS.filter((method) => app.findRoute({ method, url: routeOf(request.url) }) !== null)
    if (others.length > 0) {
      reply.header('allow', others.join(', '))
      return fail(
        new AppError('MethodNotAllowedError', `${request.method} is not a method of this resource.`),
        request,
        reply,
      )
    }
    return fail(new AppError('ResourceNotFoundError', 'Resource not found.'), request, reply)
  })
  registerHealth(app, { metrics, unready: options.unready })
  return app
}

const OTHER_METHODS = ['GET', 'POST', 'PUT', 'DELETE'] as const

const routeOf = (url: string): string => url.split('?', 1)[0] ?? url

function setHeaders(reply: FastifyReply, request: FastifyRequest): void {
  reply.headers(CORS_HEADERS).header('x-request-id', request.id)
}

/** For a failure, a bad `jsonp` is no second one. */
function jsonpOrNothing(request: FastifyRequest): string | undefined {
  try {
    return jsonpFunction(request)
  } catch {
    return undefined
  }
}
