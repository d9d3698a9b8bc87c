import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'
import { AnalysisFields, Timeframe } from './ad-hoc.ts'

const Fields = Type.Object({
  display_name: Type.String(),
  index_by: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 3 })]),
  query: AnalysisFields,
})
const Shown = Type.Object({
  project_id: Type.String(),
  organization_id: Type.String(),
  dataset_name: Type.String(),
  display_name: Type.String(),
  query: Type.Unknown(),
  index_by: Type.Array(Type.String()),
  status: Type.String(),
  last_scheduled_date: Type.Union([Type.String(), Type.Null()]),
  latest_subtimeframe_available: Type.Union([Type.String(), Type.Null()]),
  milliseconds_behind: Type.Integer(),
})
const Results = Type.Object({ result: Type.Array(Type.Unknown()), metadata: Type.Unknown() })
const part = {
  index_by: Type.Unknown({ description: 'A value, a list in the order of the definition, or an object by property.' }),
  timeframe: Timeframe,
  zero_fill: Type.Optional(Type.Boolean({ default: true })),
}

const doc = (fields: Omit<RouteDoc, 'tag' | 'keys' | 'permission'>): RouteDoc => ({
  tag: 'Datasets',
  keys: ['read', 'master', 'access'],
  permission: 'datasets',
  ...fields,
})
const master = (fields: Omit<RouteDoc, 'tag' | 'keys'>): RouteDoc => ({ tag: 'Datasets', keys: ['master'], ...fields })

export const DATASET_DOCS = {
  list: doc({
    operationId: 'listDatasets',
    summary: 'The datasets, by name',
    query: Type.Object({
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 10 })),
      after_name: Type.Optional(Type.String()),
    }),
    answers: {
      200: {
        description: 'A page.',
        schema: Type.Object({
          datasets: Type.Array(Shown),
          next_page_url: Type.Union([Type.String(), Type.Null()]),
          count: Type.Integer({ description: 'On all pages.' }),
        }),
      },
    },
  }),
  get: doc({
    operationId: 'getDataset',
    summary: 'A definition',
    answers: { 200: { description: 'The dataset.', schema: Shown } },
  }),
  put: master({
    operationId: 'createDataset',
    summary: 'Make a dataset',
    description: 'A definition is never changed: delete it and make it anew.',
    body: { schema: Fields },
    answers: {
      200: { description: 'It was there already, just so.', schema: Shown },
      201: { description: 'Made.', schema: Shown },
    },
  }),
  remove: master({
    operationId: 'deleteDataset',
    summary: 'Delete a dataset',
    answers: { 204: { description: 'Deleted.' } },
  }),
  results: doc({
    operationId: 'getDatasetResults',
    summary: 'Values of one index value',
    query: Type.Object(part),
    answers: { 200: { description: 'As a query with an interval answers.', schema: Results } },
  }),
  bulk: doc({
    operationId: 'getDatasetResultsInBulk',
    summary: 'Values of several index values',
    body: {
      schema: Type.Object({ ...part, index_by: Type.Array(Type.Unknown(), { minItems: 1, maxItems: 20 }) }),
    },
    answers: { 200: { description: 'For each of `index_by`, in its order.', schema: Results } },
  }),
}
