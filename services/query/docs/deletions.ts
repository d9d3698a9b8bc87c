import { type TSchema, Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

/** What `/openapi.json` says about deletes. */

const master = (fields: Omit<RouteDoc, 'tag' | 'keys'>): RouteDoc => ({ tag: 'Schema', keys: ['master'], ...fields })
const Nullable = (inner: TSchema): TSchema => Type.Union([inner, Type.Null()])
const Moment = Type.String({ description: 'ISO 8601' })

const Deletion = Type.Object({
  id: Type.String(),
  event_collection: Type.String(),
  kind: Type.Enum(['events', 'property', 'collection']),
  property_name: Type.Optional(Type.String()),
  filters: Type.Optional(Type.Array(Type.Unknown())),
  timeframe: Type.Optional(Nullable(Type.Object({ start: Moment, end: Moment }))),
  state: Type.Enum(['pending', 'running', 'done', 'failed'], {
    description: 'Until it is done, what it concerns is left out of answers; a failed one is tried again.',
  }),
  files: Type.Optional(
    Type.Object(
      {
        state: Type.Enum(['running', 'done']),
        started_at: Type.String(),
        done_at: Type.Optional(Type.String()),
        ranges: Type.Optional(Type.Integer({ description: 'Of the log, whose files were looked at.' })),
        objects: Type.Optional(Type.Integer({ description: 'Files that were written anew.' })),
        erased: Type.Optional(Type.Integer({ description: 'Events that are gone from them.' })),
        changed: Type.Optional(Type.Integer({ description: 'Events that lost a property.' })),
        delivered: Type.Optional(
          Type.Object(
            {
              count: Type.Integer(),
              files: Type.Array(Type.Object({ stream: Type.String(), key: Type.String() })),
            },
            {
              description:
                'Files of the collection in the project’s own buckets, which are its own to put right; the first 500.',
            },
          ),
        ),
      },
      { description: 'How far it is in the archive, once a process that delivers has begun.' },
    ),
  ),
  matched_events: Type.Integer({ description: 'In the warehouse when it was asked for.' }),
  requested_at: Moment,
  started_at: Nullable(Moment),
  done_at: Nullable(Moment),
  url: Type.String(),
})

const ACCEPTED: RouteDoc['answers'] = {
  204: { description: 'Accepted; answers are without it from now on. `Location` tells how far it is.' },
}

export const DELETION_DOCS = {
  events: master({
    operationId: 'deleteEvents',
    summary: 'Delete events',
    description:
      'Those received until now that match all of the filters and happened in the timeframe; without either, the whole ' +
      'collection. The scope stands in the address: filters in the body are refused.',
    query: Type.Object({
      filters: Type.Optional(Type.String({ description: 'JSON: an array of filters.' })),
      timeframe: Type.Optional(Type.String({ description: 'A relative timeframe, or JSON with start and end.' })),
      timezone: Type.Optional(Type.String()),
    }),
    answers: ACCEPTED,
  }),
  property: master({
    operationId: 'deleteProperty',
    summary: 'Delete a property from all events of a collection',
    description: 'And what stands below it. Properties of `keen` cannot be deleted.',
    path: { property: 'Its path, with dots.' },
    answers: ACCEPTED,
  }),
  update: master({
    operationId: 'updateEvents',
    summary: 'Change stored events: not switched on',
    answers: { 403: { description: 'Always.' } },
  }),
  list: master({
    operationId: 'listDeletions',
    summary: 'Deletions, newest first',
    answers: { 200: { description: 'Those that are remembered.', schema: Type.Array(Deletion) } },
  }),
  get: master({
    operationId: 'getDeletion',
    summary: 'How far a deletion is',
    path: { deletion: 'Its id.' },
    answers: { 200: { description: 'The deletion.', schema: Deletion } },
  }),
}
