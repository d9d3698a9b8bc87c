import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { callerGone, type QueryContext } from '../context.ts'
import { beginSql, type SqlAnswer } from './begin.ts'
import { SQL_FORMATS } from './formats.ts'
import type { SqlRequest } from './request.ts'

/**
 * Answers with the rows as they come out of the warehouse. What is refused is refused before the first byte; when something
 * fails after it, the connection breaks off. Holds the query's turn until the last byte is out.
 */
export async function answerSql(
  context: QueryContext,
  request: FastifyRequest,
  reply: FastifyReply,
  sql: SqlRequest,
  grant: Grant,
): Promise<FastifyReply> {
  const gone = callerGone(reply)
  const begun = Promise.withResolvers<Readable>()
  const startedMs = performance.now()
  const done = context.inTurn('sql', grant, gone, async () => {
    const { warehouse, runQuery } = context
    const deps = { warehouse, requireCollection: runQuery.requireCollection }
    const answer = await beginSql(deps, sql, grant, context.limitsOf(grant), gone)
    const counted = { rows: 0 }
    const stream = streamOf(answer, sql, counted, startedMs, context.settings.extraction.stallMs)
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
    return { answer: undefined, rowsRead: counted.rows }
  })
  done.catch((error: unknown) => {
    begun.reject(error)
    context.logger.debug({ requestId: request.id, err: error }, 'SQL query ended early')
  })
  const stream = await begun.promise
  return reply.type(SQL_FORMATS[sql.format].contentType).send(stream)
}

function streamOf(
  answer: SqlAnswer,
  sql: SqlRequest,
  counted: { rows: number },
  startedMs: number,
  stallMs: number,
): Readable {
  let stalled: NodeJS.Timeout | undefined
  const source = answer.source as AsyncIterable<Buffer>
  const pieces = async function* (): AsyncGenerator<Buffer> {
    const chunks = sql.format === 'json' ? jsonOf(source, answer, sql, counted, startedMs) : source
    for await (const chunk of chunks) {
      stalled = setTimeout(() => stream.destroy(tooSlow()), stallMs)
      yield chunk
      clearTimeout(stalled)
    }
  }
  const stream = Readable.from(pieces(), { objectMode: false, highWaterMark: 64 << 10 })
  stream.once('close', () => {
    clearTimeout(stalled)
    answer.source.destroy()
  })
  return stream
}

const tooSlow = (): AppError => new AppError('QueryTimeoutError', 'The caller took nothing of the answer for too long.')

const LINE_END = 0x0a
const COMMA = 0x2c

/** Lines of JSON as one object: between two of them stands a comma, and an end of line stands nowhere else. */
async function* jsonOf(
  source: AsyncIterable<Buffer>,
  { columns }: SqlAnswer,
  { includeMetadata }: SqlRequest,
  counted: { rows: number },
  startedMs: number,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`{"columns":${JSON.stringify(columns)},"result":[`)
  let isPending = false
  for await (const chunk of source) {
    if (chunk.length === 0) continue
    const bytes = Buffer.from(chunk)
    for (let at = bytes.indexOf(LINE_END); at !== -1; at = bytes.indexOf(LINE_END, at + 1)) {
      counted.rows++
      bytes[at] = COMMA
    }
    const endsRow = bytes.at(-1) === COMMA && chunk.at(-1) === LINE_END
    if (isPending) yield Buffer.from(',')
    isPending = endsRow
    yield endsRow ? bytes.subarray(0, -1) : bytes
  }
  const metadata = { rows: counted.rows, total_processing_time: (performance.now() - startedMs) / 1_000 }
  yield Buffer.from(includeMetadata ? `],"execution_metadata":${JSON.stringify(metadata)}}` : ']}')
}
