import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'
import { AnalysisFields, Result } from './ad-hoc.ts'

const Query = Type.Intersect([
  Type.Object({ analysis_type: Type.String({ description: '`count`, `sum`, `funnel`, `extraction` …' }) }),
  AnalysisFields,
])
const RefreshRate = Type.Integer({
  default: 0,
  description: 'Seconds. 0: run when it is asked for; otherwise computed ahead so often, from 14400 to 86400.',
})
const Nullable = (schema: ReturnType<typeof Type.String> | ReturnType<typeof Type.Object>) =>
  Type.Union([schema, Type.Null()])

const Definition = Type.Object({
  query_name: Type.String(),
  refresh_rate: RefreshRate,
  query: Query,
  metadata: Type.Unknown({ description: 'As it was sent.' }),
  created_date: Type.String({ description: '`2017-05-09T21:28:12.408000+00:00`' }),
  last_modified_date: Type.String(),
  user_last_modified_date: Type.String(),
  run_information: Nullable(
    Type.Object(
      {
        last_run_date: Type.String(),
        last_run_status: Type.Enum(['success', 'failed']),
        last_run_duration: Type.Number({ description: 'Seconds.' }),
        last_run_message: Nullable(Type.String({ description: 'Why it failed.' })),
      },
      { description: 'Of a cached query, once it has run.' },
    ),
  ),
  urls: Type.Object({ cached_query_url: Type.String(), cached_query_results_url: Type.String() }),
})
const Body = Type.Object({
  query_name: Type.Optional(Type.String({ description: 'Another name than the path’s renames.' })),
  refresh_rate: Type.Optional(RefreshRate),
  query: Query,
  metadata: Type.Optional(Type.Unknown({ description: 'Anything that belongs to it, kept as it is.' })),
})
const WithResult = Type.Intersect([Definition, Result])

const saved = (alias: boolean, fields: Omit<RouteDoc, 'tag' | 'path'>): RouteDoc => ({
  tag: 'Saved queries',
  path: { name: 'Of letters, digits, `_` and `-`.' },
  ...fields,
  ...(alias && { operationId: fields.operationId.replace('Saved', 'Cached'), summary: `${fields.summary} (alias)` }),
})

/** `alias`: of the same resources under `/queries/cached`. */
export const savedQueryDocs = (alias: boolean) => ({
  list: saved(alias, {
    operationId: 'listSavedQueries',
    summary: 'All saved queries',
    keys: ['master'],
    answers: { 200: { description: 'By name.', schema: Type.Array(Definition) } },
  }),
  get: saved(alias, {
    operationId: 'getSavedQuery',
    summary: 'A saved query',
    keys: ['master', 'access'],
    permission: 'query_definition',
    answers: { 200: { description: 'Its definition.', schema: Definition } },
  }),
  put: saved(alias, {
    operationId: 'putSavedQuery',
    summary: 'Make or replace a saved query',
    description: 'Replaces all of it: what is left out is cleared. What only the server says is ignored.',
    keys: ['master'],
    body: { schema: Body },
    answers: {
      200: { description: 'Replaced.', schema: Definition },
      201: { description: 'Made.', schema: Definition },
    },
  }),
  remove: saved(alias, {
    operationId: 'deleteSavedQuery',
    summary: 'Delete a saved query',
    keys: ['master'],
    answers: { 204: { description: 'Deleted.' } },
  }),
  result: saved(alias, {
    operationId: 'getSavedQueryResult',
    summary: 'The result of a saved query',
    description:
      'With a refresh rate: the newest result that was computed ahead; the header `Age` says how old it is in seconds. ' +
      'Computed on the spot before there is one, and for a key whose filters show it fewer rows.',
    keys: ['read', 'master', 'access'],
    permission: 'saved_queries or cached_queries',
    answers: { 200: { description: 'The definition, and `result`.', schema: WithResult } },
  }),
})
