import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

export const SQL_DOC: RouteDoc = {
  operationId: 'runSql',
  tag: 'SQL',
  keys: ['read', 'master', 'access'],
  permission: 'queries',
  summary: 'Ask one SELECT over the project’s collections',
  description:
    'Collections are tables and properties columns: `SELECT user.plan, sum(price) FROM purchases GROUP BY 1`. A key sees the rows it sees ' +
    'everywhere. What is not among the statements and functions that are known is refused, with its line and column.',
  body: {
    schema: Type.Object({
      query: Type.String({ maxLength: 65_536 }),
      parameters: Type.Optional(
        Type.Record(Type.String(), Type.Unknown(), { description: 'Values of `{name:Type}` in the text.' }),
      ),
      format: Type.Optional(Type.Enum(['json', 'csv', 'ndjson', 'arrow', 'parquet'], { default: 'json' })),
      include_metadata: Type.Optional(Type.Boolean({ default: false })),
    }),
  },
  answers: {
    200: {
      description: 'The rows, and of what type their columns are.',
      schema: Type.Object({
        result: Type.Array(Type.Record(Type.String(), Type.Unknown())),
        columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
      }),
      contentTypes: [
        'application/json',
        'text/csv',
        'application/x-ndjson',
        'application/vnd.apache.arrow.stream',
        'application/vnd.apache.parquet',
      ],
    },
    504: { description: 'The query took too long.' },
  },
}
