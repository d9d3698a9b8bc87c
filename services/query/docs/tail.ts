import { Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

export const TAIL_DOC: RouteDoc = {
  operationId: 'tailEvents',
  tag: 'Events',
  keys: ['read', 'master', 'access'],
  permission: 'queries',
  summary: 'See events as they come in',
  description:
    'Server-sent events, until the caller leaves or the key is revoked. Each message is an event as an extraction shows it, ' +
    'with `id` its place in the log, in no order beyond that of one place’s. It begins with what is recorded after the ' +
    'answer’s headers: nothing before that is sent, and `Last-Event-ID` is not looked at. A message `dropped` says how many ' +
    'events went unsent, because the reader was slow, they were more than `max_rate`, or the service was too busy to look at ' +
    'them; a message `end` says why the service ends the stream. An event that repeats an earlier one (the same uniqueness ' +
    'token or `Idempotency-Key`) may be shown although it is not stored.',
  query: Type.Object({
    event_collection: Type.Optional(
      Type.String({ description: 'A collection, or a JSON array of them; may be repeated. Default: all.' }),
    ),
    filters: Type.Optional(Type.String({ description: 'As in a query, JSON; those of the key hold as well.' })),
    sample: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: 1, default: 1, description: 'The share of events to look at.' }),
    ),
    max_rate: Type.Optional(Type.Integer({ minimum: 1, description: 'Most events a second.' })),
  }),
  answers: {
    200: { description: 'A stream of messages.', contentTypes: ['text/event-stream'] },
  },
}
