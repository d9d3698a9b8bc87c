import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

const Property = Type.String({ description: 'A path with dots: `user.plan`.' })

export const Filter = Type.Object({
  property_name: Type.Optional(Property),
  operator: Type.Enum(
    ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'exists', 'in', 'contains', 'not_contains', 'within', 'regex', 'or', 'and'],
    { description: '`or` and `and` have `operands`, filters themselves.' },
  ),
  property_value: Type.Optional(Type.Unknown()),
  operands: Type.Optional(Type.Array(Type.Unknown())),
})

export const Timeframe = Type.Union(
  [
    Type.String({ description: '`this_7_days`, `previous_2_months`, `today`' }),
    Type.Object({ start: Type.String(), end: Type.String() }, { description: 'ISO 8601; the end is exclusive.' }),
  ],
  { description: 'When the events happened.' },
)

/** What all analyses understand; each ignores what means nothing to it. */
export const AnalysisFields = Type.Object({
  event_collection: Type.Optional(Type.String({ description: 'Needed by all but funnel.' })),
  timeframe: Type.Optional(Timeframe),
  timezone: Type.Optional(
    Type.Union([Type.String(), Type.Number()], {
      description: 'A name of the tz database, or seconds east of UTC; for relative timeframes.',
    }),
  ),
  target_property: Type.Optional(Property),
  percentile: Type.Optional(Type.Number({ minimum: 0, maximum: 100 })),
  filters: Type.Optional(Type.Array(Filter)),
  interval: Type.Optional(Type.String({ description: '`daily`, `every_3_hours`' })),
  group_by: Type.Optional(Type.Unknown({ description: 'A property, a range grouping, or an array of them.' })),
  order_by: Type.Optional(Type.Unknown({ description: '`{"property_name", "direction"}`, or an array of them.' })),
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  zero_fill: Type.Optional(Type.Boolean({ default: true })),
  include_metadata: Type.Optional(Type.Boolean({ default: false })),
  max_age: Type.Optional(
    Type.Number({ description: 'A result may be so many seconds old; up to 30 it is asked for anew all the same.' }),
  ),
  approximate: Type.Optional(
    Type.Boolean({ default: false, description: 'An estimate will do: count_unique, median, percentile.' }),
  ),
  latest: Type.Optional(Type.Integer({ minimum: 1, description: 'Of extraction: the newest so many, newest first.' })),
  property_names: Type.Optional(Type.Unknown({ description: 'Of extraction: a property or an array of them.' })),
  content_type: Type.Optional(
    Type.Enum(['application/json', 'text/csv', 'application/x-ndjson', 'application/json-stream'], {
      description: 'Of extraction. A file is CSV unless told otherwise, and its JSON is one event a line.',
    }),
  ),
  content_encoding: Type.Optional(Type.Enum(['gzip', 'identity'], { description: 'Of extraction.' })),
  async: Type.Optional(Type.Boolean({ description: 'Of extraction: to a file, in the background.' })),
  email: Type.Optional(Type.String({ description: 'The same as `async`; no mail is sent.' })),
  analyses: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Of multi_analysis, by label.' })),
  steps: Type.Optional(Type.Array(Type.Unknown(), { description: 'Of funnel.' })),
})

export const Result = Type.Object({
  result: Type.Unknown(),
  execution_metadata: Type.Optional(
    Type.Object({
      events_scanned: Type.Integer(),
      properties_per_event: Type.Integer(),
      total_properties_scanned: Type.Integer(),
      total_processing_time: Type.Number({ description: 'Seconds.' }),
    }),
  ),
})

const query = (fields: Omit<RouteDoc, 'tag' | 'keys' | 'permission'>): RouteDoc => ({
  tag: 'Queries',
  keys: ['read', 'master', 'access'],
  permission: 'queries',
  path: { analysis: '`count`, `sum`, `funnel`, `extraction` …; the list of queries has them all.' },
  ...fields,
})
const ANSWERS: RouteDoc['answers'] = {
  200: { description: 'The result; its shape depends on the analysis, `interval` and `group_by`.', schema: Result },
  504: { description: 'The query took too long.' },
}

export const AD_HOC_DOCS = {
  list: query({
    operationId: 'listQueries',
    summary: 'The analyses',
    answers: { 200: { description: 'Links by name.', schema: Type.Record(Type.String(), Type.String()) } },
  }),
  get: query({
    operationId: 'runAnalysisByGet',
    summary: 'Ask a question by its address',
    description: 'Objects and arrays as JSON, strings bare or as JSON.',
    query: AnalysisFields,
    answers: ANSWERS,
  }),
  post: query({
    operationId: 'runAnalysis',
    summary: 'Ask a question',
    body: { schema: AnalysisFields },
    answers: ANSWERS,
  }),
}
