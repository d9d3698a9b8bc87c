import { Type, type Static } from 'typebox'

/**
 * The values in the compacted topic `tributary.control`, as JSON. A record's key says what it is about; a record without a
 * value deletes it.
 *
 *     project/<projectId>          ProjectRecord
 *     key/<projectId>/<keyId>      KeyRecord
 *     <kind>/<projectId>/<name>    DefinitionRecord; the kinds are in DEFINITION_KINDS
 *     organization/<id>            reserved: a deployment's one organization comes from its settings
 *
 * Fields may be added within a version, and readers leave alone what they do not know. A new `v` is for a change that an
 * older reader would get wrong: it then treats what the record is about as not there, rather than as it was before.
 */

const Id = Type.String({ pattern: '^[A-Za-z0-9]{1,64}$' })
const JsonObject = Type.Record(Type.String(), Type.Unknown())
const Group = Type.Union([JsonObject, Type.Null()])

export const ProjectRecord = Type.Object({
  v: Type.Literal(1),
  organizationId: Id,
  name: Type.String(),
  isActive: Type.Boolean(),
  users: Type.Array(Type.Object({ email: Type.String() })),
  preferences: JsonObject,
  createdAtMs: Type.Integer({ minimum: 0 }),
})
export type ProjectRecord = Static<typeof ProjectRecord>

export const KeyRecord = Type.Object({
  v: Type.Literal(1),
  kind: Type.Union([Type.Literal('master'), Type.Literal('read'), Type.Literal('write'), Type.Literal('access')]),
  /** Names the deployment secret that `sealed` and `lookup` were made with, without telling it. */
  secretId: Type.String(),
  /** The key, AES-256-GCM: base64 of 12 bytes nonce, 16 bytes tag, ciphertext; the record's key is the associated data. */
  sealed: Type.String(),
  /** HMAC-SHA-256 of the key, base64url: what a presented key is looked up by. */
  lookup: Type.String(),
  name: Type.String(),
  isActive: Type.Boolean(),
  permitted: Type.Array(Type.String()),
  options: Type.Object({
    writes: Group,
    queries: Group,
    saved_queries: Group,
    cached_queries: Group,
    datasets: Group,
    limits: Type.Optional(Group),
  }),
  createdAtMs: Type.Integer({ minimum: 0 }),
})
export type KeyRecord = Static<typeof KeyRecord>

/** What a project's services keep by name: queries to be run again, tables computed ahead, deletions to be remembered, deliveries. */
export const DEFINITION_KINDS = [
  'saved-query',
  'dataset',
  'deletion',
  'stream',
  'stream-backfill',
  'stream-state',
  'erasure',
] as const
export type DefinitionKind = (typeof DEFINITION_KINDS)[number]

export const DefinitionRecord = Type.Object({
  v: Type.Literal(1),
  /** Another one with each change. */
  version: Type.String({ minLength: 1, maxLength: 64 }),
  createdAtMs: Type.Integer({ minimum: 0 }),
  changedAtMs: Type.Integer({ minimum: 0 }),
  /** The service's whose kind it is; only that one knows what stands in it. */
  value: JsonObject,
})
export type DefinitionRecord = Static<typeof DefinitionRecord>
