import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseFilters } from '../filters/parse.ts'
import type { Definition } from '../registry/model.ts'
import { type Destination, STREAM_FORMATS, type Stream } from './model.ts'

/** What is kept of a stream; the rest is the definition's. */
export type StreamValue = Pick<
  Stream,
  | 'destination'
  | 'prefix'
  | 'format'
  | 'collections'
  | 'filtersJson'
  | 'cadenceMinutes'
  | 'targetBytes'
  | 'startMs'
  | 'paused'
>

const Text = Type.String()
const Endpoint = Type.Optional(Text)
const isStored = Compile(
  Type.Object({
    destination: Type.Union([
      Type.Object({
        kind: Type.Literal('s3'),
        bucket: Text,
        region: Text,
        endpoint: Endpoint,
        pathStyle: Type.Boolean(),
        credentials: Type.Union([
          Type.Object({
            kind: Type.Literal('static'),
            accessKeyId: Text,
            sealed: Text,
            hasSessionToken: Type.Boolean(),
          }),
          Type.Object({ kind: Type.Literal('role'), roleArn: Text }),
        ]),
        encryption: Type.Optional(
          Type.Union([
            Type.Object({ kind: Type.Literal('AES256') }),
            Type.Object({ kind: Type.Literal('aws:kms'), keyId: Type.Optional(Text) }),
          ]),
        ),
      }),
      Type.Object({
        kind: Type.Literal('gcs'),
        bucket: Text,
        endpoint: Endpoint,
        credentials: Type.Object({ kind: Type.Literal('service_account'), clientEmail: Text, sealed: Text }),
        kmsKeyName: Type.Optional(Text),
      }),
      Type.Object({ kind: Type.Literal('folder'), folder: Text }),
    ]),
    prefix: Text,
    format: Type.Enum([...STREAM_FORMATS]),
    collections: Type.Union([Type.Array(Text), Type.Null()]),
    filters: Type.Array(Type.Unknown()),
    cadenceMinutes: Type.Number(),
    targetBytes: Type.Number(),
    startMs: Type.Number(),
    paused: Type.Boolean(),
  }),
)

/** As it goes into the control topic: no secret in clear. */
export const storedStream = (stream: StreamValue): Readonly<Record<string, unknown>> => ({
  destination: stream.destination,
  prefix: stream.prefix,
  format: stream.format,
  collections: stream.collections,
  filters: stream.filtersJson,
  cadenceMinutes: stream.cadenceMinutes,
  targetBytes: stream.targetBytes,
  startMs: stream.startMs,
  paused: stream.paused,
})

/**
 * What `storedStream` wrote. Undefined when this version of the program does not understand it: events must not go where
 * a rule that is not known here might keep them from.
 */
export function streamOf(definition: Definition): Stream | undefined {
  const { projectId, name, version, createdAtMs, changedAtMs, value } = definition
  if (!isStored.Check(value)) return undefined
  try {
    return {
      projectId,
      name,
      version,
      createdAtMs,
      changedAtMs,
      destination: value.destination as Destination,
      prefix: value.prefix,
      format: value.format,
      collections: value.collections,
      filters: parseFilters(value.filters),
      filtersJson: value.filters,
      cadenceMinutes: value.cadenceMinutes,
      targetBytes: value.targetBytes,
      startMs: value.startMs,
      paused: value.paused,
    }
  } catch {
    return undefined
  }
}
