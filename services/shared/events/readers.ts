import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import avro from 'avsc'
import type { LoggedEvent } from './event.ts'
import { singleObjectHeader } from './fingerprint.ts'

/** A record schema, as far as this file looks into it. */
export interface EventSchema {
  type: 'record'
  name: string
  namespace?: string
  fields: { name: string; type: Parameters<typeof avro.Type.forSchema>[0]; default?: unknown }[]
}

/** Reads a datum (without header) that was written with one schema. Throws on anything that is not one. */
export type EventReader = (datum: Buffer) => LoggedEvent

/** Readers by the header of what they read, in hex. */
export type EventReaders = ReadonlyMap<string, EventReader>

interface EventDatum {
  readonly project: string
  readonly collection: string
  readonly id: Buffer
  readonly timestamp: number
  readonly created_at: number
  readonly repeat_key: Buffer | null
  readonly properties: Buffer
}

const SCHEMAS = join(import.meta.dirname, '..', '..', '..', 'schemas', 'avro')
const EVENT_SCHEMA = /^event\.v(\d+)\.avsc$/

/** Every schema that events were ever written with, the current one last. */
export function eventSchemas(folder: string = SCHEMAS): readonly EventSchema[] {
  const version = (name: string): number => Number(EVENT_SCHEMA.exec(name)?.[1])
  return readdirSync(folder)
    .filter((name) => EVENT_SCHEMA.test(name))
    .toSorted((a, b) => version(a) - version(b))
    .map((name): EventSchema => JSON.parse(readFileSync(join(folder, name), 'utf8')))
}

/** `string` and `bytes` are the same on the wire; the text of an event stays bytes, decoding it twice helps nobody. */
const withRawProperties = (schema: EventSchema): EventSchema => ({
  ...schema,
  fields: schema.fields.map((field) => (field.name === 'properties' ? { ...field, type: 'bytes' } : field)),
})

export const headerOf = (schema: EventSchema): Buffer =>
  singleObjectHeader(JSON.stringify(avro.Type.forSchema(schema).schema()))

/** Readers for what was written with any of `schemas`; each gives an event of the last one, missing fields by default. */
export function eventReaders(schemas: readonly EventSchema[]): EventReaders {
  const current = schemas.at(-1)
  if (current === undefined) throw new Error('no event schema is given')
  const reader = avro.Type.forSchema(withRawProperties(current))
  return new Map(
    schemas.map((schema) => {
      const resolver = reader.createResolver(avro.Type.forSchema(withRawProperties(schema)))
      const read: EventReader = (datum) => {
        const value: EventDatum = reader.fromBuffer(datum, resolver)
        return {
          project: value.project,
          collection: value.collection,
          id: value.id,
          timestampMs: value.timestamp,
          createdAtMs: value.created_at,
          repeatKey: value.repeat_key,
          properties: value.properties,
        }
      }
      return [headerOf(schema).toString('hex'), read]
    }),
  )
}
