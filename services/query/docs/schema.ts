import { type TSchema, Type } from 'typebox'
import type { RouteDoc } from '../../shared/http/route-doc.ts'

/** What `/openapi.json` says about the routes that tell of collections. */

const schema = (fields: Omit<RouteDoc, 'tag' | 'keys' | 'permission'>): RouteDoc => ({
  tag: 'Schema',
  keys: ['master', 'read', 'access'],
  permission: 'schema',
  ...fields,
})
const ok = (description: string, answer: TSchema): RouteDoc['answers'] => ({ 200: { description, schema: answer } })

const PropertyType = Type.Enum(['num', 'string', 'bool', 'datetime', 'array', 'geo', 'null'])
const Collection = Type.Object({
  name: Type.String(),
  url: Type.String(),
  properties: Type.Optional(
    Type.Record(Type.String(), PropertyType, { description: 'By path; the first type that was seen.' }),
  ),
  property_types: Type.Optional(
    Type.Record(Type.String(), Type.Array(PropertyType), {
      description: 'Of properties that had several: all of them, oldest first.',
    }),
  ),
  properties_cut: Type.Optional(Type.Boolean({ description: 'There are more properties than are listed.' })),
})

export const SCHEMA_DOCS = {
  list: schema({
    operationId: 'listCollections',
    summary: 'All collections',
    query: Type.Object({
      include_schema: Type.Optional(Type.Boolean({ default: true, description: 'Whether to list properties too.' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 5_000, default: 5_000 })),
      after_name: Type.Optional(Type.String({ description: 'The last name of the page before.' })),
    }),
    answers: ok('By name.', Type.Array(Collection)),
  }),
  collection: schema({
    operationId: 'getCollection',
    summary: 'One collection',
    answers: ok('Its properties.', Collection),
  }),
  property: schema({
    operationId: 'getProperty',
    summary: 'One property',
    path: { property: 'Its path, with dots.' },
    answers: ok(
      'Its type.',
      Type.Object({
        property_name: Type.String(),
        url: Type.String(),
        type: PropertyType,
        types: Type.Array(PropertyType, { description: 'All that were seen, oldest first.' }),
      }),
    ),
  }),
}
