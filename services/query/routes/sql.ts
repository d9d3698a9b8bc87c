import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { bodyFields, callerGone, type QueryContext } from '../context.ts'
import { SQL_DOC } from '../docs/sql.ts'
import { parseSqlRequest, SQL_CONTENT_TYPES } from '../sql/request.ts'
import { prepareSql, readSql, streamSql } from '../sql/run.ts'

/** `POST /3.0/projects/:id/queries/sql`: one SELECT, under the grant. */
export function registerSqlRoute(app: FastifyInstance, context: QueryContext): void {
  app.post<{ Params: { readonly id: string } }>(
    '/3.0/projects/:id/queries/sql',
    { config: { doc: SQL_DOC } },
    async (request, reply) => {
      const grant = context.authorize(request, request.params.id, 'queries')
      const asked = parseSqlRequest(bodyFields(request), request.headers.accept)
      const limits = context.settings.limits[grant.kind]
      const gone = callerGone(reply)
      reply.type(SQL_CONTENT_TYPES[asked.format])
      const { format } = asked
      if (format === 'json') {
        const answer = await context.inTurn('sql', grant, gone, async () => {
          const compiled = await prepareSql(context, asked, grant, gone)
          const { rowsRead, elapsedS, ...found } = await readSql(context, compiled, limits, gone)
          const metadata = { events_scanned: rowsRead, total_processing_time: elapsedS }
          return { answer: asked.includeMetadata ? { ...found, execution_metadata: metadata } : found, rowsRead }
        })
        return reply.send(JSON.stringify(answer))
      }
      const begun = Promise.withResolvers<Readable>()
      // The turn is held until the last byte is out, or the caller is gone.
      context
        .inTurn('sql', grant, gone, async () => {
          const compiled = await prepareSql(context, asked, grant, gone)
          const stream = await streamSql(context, compiled, format, limits, gone)
          begun.resolve(stream)
          await new Promise<void>((resolve) => stream.once('close', () => resolve()))
          return { answer: undefined, rowsRead: 0 }
        })
        .catch(begun.reject)
      return reply.send(await begun.promise)
    },
  )
}
