import type { FastifyInstance } from 'fastify'
import { bodyFields, type QueryContext } from '../context.ts'
import { SQL_DOC } from '../docs/sql.ts'
import { answerSql } from '../sql/answer.ts'
import { parseSqlRequest } from '../sql/request.ts'

/** `POST /3.0/projects/:id/queries/sql`: one SELECT over what the key sees. */
export function registerSqlRoutes(app: FastifyInstance, context: QueryContext): void {
  app.post<{ Params: { readonly id: string } }>(
    '/3.0/projects/:id/queries/sql',
    { config: { doc: SQL_DOC } },
    async (request, reply) => {
      const grant = context.authorize(request, request.params.id, 'queries')
      const sql = parseSqlRequest(bodyFields(request), request.headers.accept)
      return answerSql(context, request, reply, sql, grant)
    },
  )
}
