import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

const Moment = Type.Union([Type.String({ description: 'ISO 8601' }), Type.Null()])

const Job = Type.Object({
  job_id: Type.String(),
  state: Type.Enum(['waiting', 'running', 'done', 'failed']),
  event_collection: Type.String(),
  content_type: Type.String(),
  content_encoding: Type.Union([Type.Literal('gzip'), Type.Null()]),
  events: Type.Integer({ description: 'So far.' }),
  bytes: Type.Integer({ description: 'Of the file.' }),
  created_at: Moment,
  started_at: Moment,
  ended_at: Moment,
  expires_at: Moment,
  status_url: Type.String(),
  download_url: Type.Union([Type.String({ description: 'Good without a key, until expires_at.' }), Type.Null()]),
  error: Type.Union([Type.Object({ error_code: Type.String(), message: Type.String() }), Type.Null()]),
})

const doc = (fields: Pick<RouteDoc, 'operationId' | 'summary' | 'description' | 'answers' | 'query'>): RouteDoc => ({
  tag: 'Queries',
  keys: ['read', 'master', 'access'],
  permission: 'queries',
  ...fields,
  path: { job: 'What the extraction’s answer called `job_id`.' },
})
const none = { 404: { description: 'No such extraction, or another key’s.' } }

export const EXTRACTION_DOCS = {
  list: doc({
    operationId: 'listExtractions',
    summary: 'Extractions to files',
    description: 'Those that this key asked for, newest first; under the master key all of the project.',
    answers: { 200: { description: 'The jobs.', schema: Type.Array(Job) } },
  }),
  get: doc({
    operationId: 'getExtraction',
    summary: 'How far an extraction is',
    answers: { 200: { description: 'The job.', schema: Job }, ...none },
  }),
  remove: doc({
    operationId: 'deleteExtraction',
    summary: 'Stop an extraction and remove its file',
    answers: { 204: { description: 'It is gone.' }, ...none },
  }),
  file: doc({
    operationId: 'downloadExtraction',
    summary: 'The events',
    description: 'With the key that asked for them, or with the link’s token.',
    query: Type.Object({ expires: Type.Optional(Type.String()), token: Type.Optional(Type.String()) }),
    answers: {
      200: { description: 'The file.', contentTypes: ['text/csv', 'application/x-ndjson', 'application/gzip'] },
      403: { description: 'The link is not good, or not any more.' },
      ...none,
    },
  }),
}
