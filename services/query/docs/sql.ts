import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

export const SQL_DOC: RouteDoc = {
  tag: 'SQL',
  operationId: 'runSql',
  summary: 'Ask in SQL',
  description:
    'One SELECT over the project’s collections as tables, properties by their paths (`purchases.user.plan`). It sees the rows that the key sees, whatever it says.',
  keys: ['read', 'master', 'access'],
  permission: 'queries',
  body: {
    schema: Type.Object({
      query: Type.String({ maxLength: 65_536 }),
      parameters: Type.Optional(
        Type.Record(Type.String(), Type.Unknown(), { description: 'Values for `{name:String}` and `:name`.' }),
      ),
      format: Type.Optional(
        Type.Enum(['json', 'csv', 'ndjson', 'arrow', 'parquet'], {
          description: 'Without it `Accept` chooses; JSON when that says nothing.',
        }),
      ),
      max_rows: Type.Optional(Type.Integer({ minimum: 1, description: 'The answer ends after so many.' })),
      include_metadata: Type.Optional(Type.Boolean({ default: false })),
    }),
  },
  answers: {
    200: {
      description: 'The rows. JSON has this shape.',
      schema: Type.Object({
        columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
        result: Type.Array(Type.Record(Type.String(), Type.Unknown())),
        execution_metadata: Type.Optional(
          Type.Object({
            rows: Type.Integer(),
            total_processing_time: Type.Number({ description: 'Seconds.' }),
          }),
        ),
      }),
    },
    400: { description: 'InvalidSqlError, with `line` and `column` of the query’s text; or a field is wrong.' },
    504: { description: 'The query took too long.' },
  },
}
