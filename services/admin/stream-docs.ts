import { type TSchema, Type } from 'typebox'
import type { RouteDoc } from '../shared/http/route-doc.ts'
import { CADENCE_MINUTES, STREAM_FORMATS, TARGET_BYTES } from '../shared/streams/model.ts'
import { DEFAULT_PREFIX } from '../shared/streams/prefix.ts'

/** What `/openapi.json` says about streams. */

const Nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const Text = (description: string): TSchema => Type.String({ description })
const Endpoint = Type.Optional(
  Nullable(Text('`https://host[:port]` of a service that the operator allows; left out: Amazon’s or Google’s.')),
)
const MASKED = 'Answers have `********`, which in a body means the one that is stored.'

const Destination = Type.Union([
  Type.Object({
    kind: Type.Literal('s3'),
    bucket: Type.String(),
    region: Type.String(),
    endpoint: Endpoint,
    path_style: Type.Optional(
      Type.Boolean({ description: '`https://host/bucket/key`. Default: true with an endpoint that is not Amazon’s.' }),
    ),
    credentials: Type.Union([
      Type.Object({
        kind: Type.Literal('static'),
        access_key_id: Type.String(),
        secret_access_key: Type.Optional(Text(MASKED)),
        session_token: Type.Optional(Text(MASKED)),
      }),
      Type.Object({
        kind: Type.Literal('role'),
        role_arn: Type.String(),
        external_id: Type.Optional(Text('The project’s, which the role’s trust policy must ask for.')),
      }),
    ]),
    encryption: Type.Optional(
      Nullable(
        Type.Union([
          Type.Object({ kind: Type.Literal('AES256') }),
          Type.Object({ kind: Type.Literal('aws:kms'), key_id: Type.Optional(Type.String()) }),
        ]),
      ),
    ),
  }),
  Type.Object({
    kind: Type.Literal('gcs'),
    bucket: Type.String(),
    endpoint: Endpoint,
    credentials: Type.Object(
      { client_email: Type.String(), private_key: Type.Optional(Text(MASKED)) },
      { description: 'A service account’s JSON file as it is; the rest of it is not kept.' },
    ),
    kms_key_name: Type.Optional(Nullable(Type.String())),
  }),
  Type.Object({ kind: Type.Literal('folder'), folder: Text('Under the operator’s folder and that of the project.') }),
])

const Fields = {
  destination: Destination,
  prefix: Type.String({
    default: DEFAULT_PREFIX,
    description:
      'What keys begin with. `{project}`, `{stream}`, `{collection}`, and of the events’ arrival in UTC `{year}`, ' +
      '`{month}`, `{day}`, `{hour}`, `{minute}`.',
  }),
  format: Type.Enum([...STREAM_FORMATS]),
  collections: Nullable(Type.Array(Type.String(), { description: 'Null or left out: all.' })),
  filters: Type.Array(Type.Record(Type.String(), Type.Unknown()), {
    description: 'As a query’s; an event must meet all of them.',
  }),
  cadence_minutes: Type.Integer({
    minimum: CADENCE_MINUTES.min,
    maximum: CADENCE_MINUTES.max,
    default: CADENCE_MINUTES.usual,
    description: 'How often a file is closed.',
  }),
  target_bytes: Type.Integer({
    minimum: TARGET_BYTES.min,
    maximum: TARGET_BYTES.max,
    default: TARGET_BYTES.usual,
    description: 'The size at which a file is closed before that.',
  }),
  start: Text(
    '`now`, or an ISO-8601 date from which events are delivered, by when they arrived. Left out: now, or of a stream that is ' +
      'replaced what it was.',
  ),
  paused: Type.Boolean({ description: 'Left out: false, or of a stream that is replaced what it was.' }),
}
const StreamBody = Type.Intersect([
  Type.Object({ destination: Fields.destination, format: Fields.format }),
  Type.Partial(Type.Object(Fields)),
])
const ExternalId = Text('Under which roles of the project are assumed.')
const Stream = Type.Object({
  name: Type.String(),
  project_id: Type.String(),
  version: Text('Another one with each change.'),
  created_at: Type.String(),
  changed_at: Type.String(),
  ...Fields,
  external_id: ExternalId,
})
const TextOrNull = (description: string) => Type.Union([Type.String(), Type.Null()], { description })
const State = Type.Object(
  {
    state: Type.Enum(['running', 'failing', 'blocked', 'done'], {
      description:
        '`failing`: no definite answer; `blocked`: only the bucket’s owner can help. Both are tried again, more and more rarely.',
    }),
    since: Text('Since when it has been so.'),
    reason: TextOrNull(
      'Of a failure: `forbidden`, `credentials`, `no_bucket`, `quota`, `invalid`, `unavailable` or `damaged`.',
    ),
    message: TextOrNull('The same in words.'),
    sequence: Type.Integer({ description: 'Number of the last delivery; it stands in the names of its files.' }),
    last_file: TextOrNull('Key of the last file.'),
    last_delivered_at: TextOrNull('When it was written.'),
    lag_seconds: Type.Number({ description: 'Age of the oldest archived event that is not delivered.' }),
    events: Type.Integer({
      description: 'Events, files and bytes since the process that delivers took the stream over.',
    }),
    files: Type.Integer(),
    bytes: Type.Integer(),
  },
  { description: 'How it comes along, once a process that delivers has told.' },
)
const StreamWithState = Type.Object({ ...Stream.properties, state: Type.Optional(State) })
const BackfillBody = Type.Object({
  start: Text('ISO-8601, by when events arrived.'),
  end: Text('The same, exclusive; not in the future.'),
})
const Backfill = Type.Object({
  id: Text('Stands in the names of its files.'),
  start: Type.String(),
  end: Type.String(),
  created_at: Type.String(),
  state: Type.Optional(State),
})
const TestResult = Type.Union([
  Type.Object({ ok: Type.Literal(true), ms: Type.Integer({ description: 'How long it took.' }) }),
  Type.Object({
    ok: Type.Literal(false),
    step: Type.Enum(['put', 'get', 'delete']),
    reason: Type.Enum(['forbidden', 'no_bucket', 'credentials', 'quota', 'invalid', 'unavailable']),
    message: Type.String(),
  }),
])

type Config = { readonly config: { readonly doc: RouteDoc } }

const stream = (fields: Omit<RouteDoc, 'tag' | 'keys'>): Config => ({
  config: {
    doc: {
      tag: 'Streams',
      keys: ['master'],
      path: { name: 'The stream’s name: 1 to 64 letters, digits, `_` and `-`.' },
      ...fields,
    },
  },
})
const ok = (description: string, schema: TSchema): RouteDoc['answers'] => ({ 200: { description, schema } })

export const STREAM_DOCS = {
  list: stream({
    operationId: 'listStreams',
    summary: 'The project’s streams',
    answers: ok('By name.', Type.Object({ external_id: ExternalId, streams: Type.Array(Stream) })),
  }),
  get: stream({ operationId: 'getStream', summary: 'One stream', answers: ok('The stream.', StreamWithState) }),
  put: stream({
    operationId: 'putStream',
    summary: 'Make or replace a stream',
    description:
      'What the body leaves out has its default, but for a secret, `start` and `paused`, which stay. A secret stays only with the ' +
      'same kind, bucket, endpoint and user. The destination is tried out first, as by `test`; when that fails the answer is a 400 ' +
      'with `step` and `reason`, and nothing is changed.',
    query: Type.Object({
      test: Type.Optional(Type.Boolean({ default: true, description: 'false: the destination is not tried out.' })),
    }),
    body: { schema: StreamBody },
    answers: {
      200: { description: 'The stream as it is now.', schema: Stream },
      201: { description: 'The stream, which is new.', schema: Stream },
    },
  }),
  delete: stream({
    operationId: 'deleteStream',
    summary: 'Delete a stream',
    description: 'What it has written stays.',
    answers: { 204: { description: 'It is gone.' } },
  }),
  pause: stream({
    operationId: 'pauseStream',
    summary: 'Stop a stream for a while',
    answers: ok('The stream, paused.', Stream),
  }),
  resume: stream({
    operationId: 'resumeStream',
    summary: 'Let a paused stream go on',
    answers: ok('The stream, not paused.', Stream),
  }),
  backfills: stream({
    operationId: 'listBackfills',
    summary: 'A stream’s back-fills',
    answers: ok('Oldest first.', Type.Object({ backfills: Type.Array(Backfill) })),
  }),
  backfill: stream({
    operationId: 'createBackfill',
    summary: 'Deliver a stretch of time once more',
    description:
      'Events that arrived in that time go to the stream’s bucket in files of their own, in its present layout, beside what it delivers anyway.',
    body: { schema: BackfillBody },
    answers: { 201: { description: 'The back-fill, which begins by itself.', schema: Backfill } },
  }),
  test: stream({
    operationId: 'testStream',
    summary: 'Try a stream’s destination out',
    description: 'Writes an object where the stream would write, reads it back and deletes it, within 15 seconds.',
    answers: ok('Whether that went well, and if not what failed.', TestResult),
  }),
}
