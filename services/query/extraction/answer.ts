import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import { jsonpFunction } from '../../shared/http/jsonp.ts'
import { queryValue } from '../../shared/http/presented-key.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { callerGone, type QueryContext } from '../context.ts'
import type { ExtractionNode, Query } from '../language/tree.ts'
import { CONTENT_TYPES, type Delivery } from './delivery.ts'
import { beginExtraction, type Extraction, type ExtractionBounds } from './extract.ts'

const ACCEPTS_GZIP = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|\s|$))/i

/**
 * Answers with the events, as they come out of the warehouse: no more of them is in memory than the caller has yet to
 * take. What is refused is refused before the first byte; when something fails after it, the connection breaks off, so
 * that half an answer is never taken for a whole one. Holds the query's turn until the last byte is out.
 */
export async function answerExtraction(
  context: QueryContext,
  request: FastifyRequest,
  reply: FastifyReply,
  query: Query & { readonly analysis: ExtractionNode },
  grant: Grant,
  delivery: Delivery,
): Promise<FastifyReply> {
  const gone = callerGone(reply)
  const begun = Promise.withResolvers<Readable>()
  const done = context.inTurn('extraction', grant, gone, async () => {
    const bounds = boundsOf(context, grant, query.analysis)
    const extraction = await beginExtraction(context.extractDeps, query, grant, delivery.format, bounds, gone)
    const stream = streamOf(extraction, scriptOf(request, delivery), context.settings.extraction.stallMs)
    const sent = Promise.withResolvers<void>()
    let failure: unknown
    stream.once('error', (error) => (failure = error))
    stream.once('close', () => {
      if (failure === undefined) sent.resolve()
      else sent.reject(failure)
    })
    begun.resolve(stream)
    await sent.promise
    gone.throwIfAborted()
    return { answer: undefined, rowsRead: extraction.rowsRead() }
  })
  done.catch((error: unknown) => {
    begun.reject(error)
    context.logger.debug({ requestId: request.id, err: error }, 'extraction ended early')
  })
  const stream = await begun.promise
  reply.type(scriptOf(request, delivery) === undefined ? CONTENT_TYPES[delivery.format] : SCRIPT_TYPE)
  if (scriptOf(request, delivery) !== undefined) reply.header('x-content-type-options', 'nosniff')
  if (request.method === 'HEAD') {
    stream.destroy()
    return reply.send(Readable.from([]))
  }
  return reply.send(compressed(stream, request, reply, delivery))
}

function boundsOf({ settings, limitsOf }: QueryContext, grant: Grant, { latest }: ExtractionNode): ExtractionBounds {
  const { extraction } = settings
  const own = limitsOf(grant)
  return {
    // What looks for the latest stops by itself.
    limits: latest === null ? { ...own, rowsToRead: Math.min(own.rowsToRead, extraction.scannedMax) } : own,
    eventsMax: extraction.eventsMax,
    bytesMax: own.resultBytes,
    advice: ', or for a file with async',
  }
}

const SCRIPT_TYPE = 'application/javascript; charset=utf-8'

/** The function that a script is to call with the answer; only JSON in a GET can be one. */
const scriptOf = (request: FastifyRequest, { format }: Delivery): string | undefined =>
  request.method === 'GET' && format === 'json' ? jsonpFunction(queryValue(request, 'jsonp')) : undefined

function streamOf(extraction: Extraction, script: string | undefined, stallMs: number): Readable {
  let stalled: NodeJS.Timeout | undefined
  const pieces = async function* (): AsyncGenerator<string> {
    if (script !== undefined) yield `${script}(`
    for await (const piece of extraction.text) {
      stalled = setTimeout(() => stream.destroy(tooSlow()), stallMs)
      yield script === undefined ? piece : withoutSeparators(piece)
      clearTimeout(stalled)
    }
    if (script !== undefined) yield ')'
  }
  const stream = Readable.from(pieces(), { objectMode: false, highWaterMark: 64 << 10 })
  stream.once('close', () => {
    clearTimeout(stalled)
    extraction.close()
  })
  return stream
}

const tooSlow = (): AppError => new AppError('QueryTimeoutError', 'The caller took nothing of the answer for too long.')

/** As `jsonpScript` does it. */
const withoutSeparators = (text: string): string => text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')

function compressed(stream: Readable, request: FastifyRequest, reply: FastifyReply, delivery: Delivery): Readable {
  reply.header('vary', 'Accept-Encoding')
  if (!delivery.gzip && !ACCEPTS_GZIP.test(request.headers['accept-encoding'] ?? '')) return stream
  reply.header('content-encoding', 'gzip')
  const gzip = createGzip({ level: 1 })
  // An error of either ends both, and with them the connection.
  pipeline(stream, gzip).catch(() => undefined)
  return gzip
}
