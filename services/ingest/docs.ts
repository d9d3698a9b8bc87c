import { Type } from 'typebox'
import type { RouteDoc } from '../shared/http/route-doc.ts'

/** What `/openapi.json` says about recording. */

const Event = Type.Object(
  {
    keen: Type.Optional(
      Type.Object({
        timestamp: Type.Optional(
          Type.String({ description: 'When it happened, ISO 8601; without offset it is UTC. Default: now.' }),
        ),
        location: Type.Optional(
          Type.Object({ coordinates: Type.Array(Type.Number(), { description: 'Longitude, latitude.' }) }),
        ),
        addons: Type.Optional(Type.Array(Type.Object({}), { description: 'Enrichments.' })),
        uniqueness_token: Type.Optional(
          Type.String({ maxLength: 64, description: 'Of events with the same one, the first in 31 days is stored.' }),
        ),
      }),
    ),
  },
  { additionalProperties: true },
)

const Outcome = Type.Object({
  success: Type.Boolean(),
  error: Type.Optional(Type.Object({ name: Type.String(), description: Type.String() })),
})

const events = (fields: Omit<RouteDoc, 'tag' | 'keys' | 'permission'>): RouteDoc => ({
  tag: 'Events',
  keys: ['write', 'master', 'access'],
  permission: 'writes',
  ...fields,
})

const CREATED = Type.Object({ created: Type.Boolean() })

export const RECORD_DOCS = {
  one: events({
    operationId: 'recordEvent',
    summary: 'Record one event',
    description:
      'Answered when the log has it for good. A request repeated with the same header `Idempotency-Key` is stored once.',
    body: { schema: Event },
    answers: {
      201: { description: 'It is recorded.', schema: CREATED },
      413: { description: 'The event is too large.' },
    },
  }),
  many: events({
    operationId: 'recordEvents',
    summary: 'Record many events',
    description: 'Each event has its own outcome, in the order sent; one that is refused takes no other with it.',
    body: { schema: Type.Record(Type.String(), Type.Array(Event)), description: 'Events by collection.' },
    answers: {
      200: { description: 'What became of each.', schema: Type.Record(Type.String(), Type.Array(Outcome)) },
      413: { description: 'The request is too large.' },
    },
  }),
  get: events({
    operationId: 'recordEventByGet',
    summary: 'Record one event by its address, for images and links in mails; without `data`: the collection’s schema',
    description: 'Answers an image, `redirect`s, or answers JSON to callers that accept it.',
    query: Type.Object({
      data: Type.Optional(Type.String({ description: 'The event’s JSON in base64, either alphabet.' })),
      redirect: Type.Optional(
        Type.String({ description: 'Where to send the caller; only to hosts the operator allows.' }),
      ),
    }),
    answers: { 200: { description: 'A transparent image.', contentTypes: ['image/gif', 'application/json'] } },
  }),
}
