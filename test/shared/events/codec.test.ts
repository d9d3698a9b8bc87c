import avro from 'avsc'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  createEventDecoder,
  decodeEvent,
  encodeEvent,
  unreadableReason,
} from '../../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../../services/shared/events/event.ts'
import { avroFingerprint } from '../../../services/shared/events/fingerprint.ts'
import { eventReaders, eventSchemas, headerOf, type EventSchema } from '../../../services/shared/events/readers.ts'

const schemas = eventSchemas()
const current = schemas.at(-1) as EventSchema

const sample: LoggedEvent = {
  project: '0123456789abcdef01234567',
  collection: 'purchases',
  id: Buffer.from('0190f3c1b2a47c3d8e9f001122334455', 'hex'),
  timestampMs: 1_763_000_000_123,
  createdAtMs: 1_763_000_000_456,
  repeatKey: Buffer.alloc(16, 7),
  properties: Buffer.from('{"price":12.5,"who":"Zoë"}'),
}

const fixed = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes))
const timeMs = fc.integer({ min: -8_640_000_000_000, max: 8_640_000_000_000 })
const anyEvent: fc.Arbitrary<LoggedEvent> = fc.record({
  project: fc.string(),
  collection: fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
  id: fixed,
  timestampMs: timeMs,
  createdAtMs: timeMs,
  repeatKey: fc.option(fixed),
  properties: fc.json().map((text) => Buffer.from(text)),
})

/** What a reader in any other language sees: the checked-in schema, nothing of ours. */
const oracle = avro.Type.forSchema(current)
const datumOf = (event: LoggedEvent) => ({
  project: event.project,
  collection: event.collection,
  id: event.id,
  timestamp: event.timestampMs,
  created_at: event.createdAtMs,
  repeat_key: event.repeatKey,
  properties: event.properties.toString(),
})

test('an encoded event is the header and the datum that Avro makes of the checked-in schema', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const expected = Buffer.concat([headerOf(current), oracle.toBuffer(datumOf(event))])
      expect(encodeEvent(event).equals(expected)).toBe(true)
    }),
  )
})

test('what Avro’s own encoder wrote with the checked-in schema decodes to the same event', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const bytes = Buffer.concat([headerOf(current), oracle.toBuffer(datumOf(event))])
      expect(decodeEvent(bytes)).toEqual({ ...event, properties: Buffer.from(event.properties.toString()) })
    }),
  )
})

test('properties come back byte for byte, even when they are not UTF-8', () => {
  const properties = Buffer.from([0x22, 0xff, 0xfe, 0xc3, 0x28, 0x22])
  expect(decodeEvent(encodeEvent({ ...sample, properties })).properties).toEqual(properties)
})

test('an event that was handed out is not changed by the events after it', () => {
  const events = Array.from({ length: 500 }, (_, i) => ({ ...sample, properties: Buffer.alloc(i * 10, i) }))
  const encoded = events.map(encodeEvent)
  expect(encoded.map((bytes) => decodeEvent(bytes))).toEqual(events)
})

test('the fingerprint is CRC-64-AVRO: the values that the Avro project publishes', () => {
  const signed = (form: string) => BigInt.asIntN(64, avroFingerprint(form))
  expect(signed('"null"')).toBe(7_195_948_357_588_979_594n)
  expect(signed('"boolean"')).toBe(-6_970_731_678_124_411_036n)
  expect(signed('"int"')).toBe(8_247_732_601_305_521_295n)
})

test('the header names the newest checked-in schema', () => {
  expect(encodeEvent(sample).subarray(0, 10)).toEqual(headerOf(current))
})

test('every checked-in schema has a reader', () => {
  const readers = eventReaders(schemas)
  for (const schema of schemas) expect(readers.has(headerOf(schema).toString('hex'))).toBe(true)
  const read = readers.get(headerOf(current).toString('hex'))
  expect(read?.(encodeEvent(sample).subarray(10))).toEqual(sample)
})

test('an event of an older schema decodes, with the default for what it did not know', () => {
  const older: EventSchema = { ...current, fields: current.fields.filter(({ name }) => name !== 'repeat_key') }
  const bytes = Buffer.concat([headerOf(older), avro.Type.forSchema(older).toBuffer(datumOf(sample))])
  const decode = createEventDecoder(() => eventReaders([older, current]))
  expect(decode(bytes)).toEqual({ ...sample, repeatKey: null })
  expect(decode(encodeEvent(sample))).toEqual(sample)

  const cut = reasonOf(() => decode(bytes.subarray(0, -1)))
  expect(cut).toBe('malformed')
})

const reasonOf = (decode: () => unknown): string | undefined => {
  try {
    decode()
    return undefined
  } catch (error) {
    return unreadableReason(error)
  }
}

test('bytes that are not an event are refused with the reason', () => {
  const good = encodeEvent(sample)
  const other = Buffer.from(good)
  other[5] = (other[5] ?? 0) ^ 0xff
  expect(reasonOf(() => decodeEvent(other))).toBe('unknown_schema')
  expect(reasonOf(() => decodeEvent(Buffer.from('{"json":true}')))).toBe('not_avro')
  expect(reasonOf(() => decodeEvent(Buffer.alloc(0)))).toBe('not_avro')
  expect(reasonOf(() => decodeEvent(good.subarray(0, 9)))).toBe('not_avro')
  expect(reasonOf(() => decodeEvent(Buffer.concat([good, Buffer.from([0])])))).toBe('malformed')
})

test('an event that was cut anywhere is refused, and so is any change that breaks its form', () => {
  const good = encodeEvent(sample)
  for (let length = 10; length < good.length; length += 1) {
    expect(reasonOf(() => decodeEvent(good.subarray(0, length)))).toBe('malformed')
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
      const bytes = Buffer.concat([good.subarray(0, 10), tail])
      expect([undefined, 'malformed']).toContain(reasonOf(() => decodeEvent(bytes)))
    }),
  )
})

test('an event that the schema cannot hold is not encoded', () => {
  expect(() => encodeEvent({ ...sample, id: Buffer.alloc(15) })).toThrow(RangeError)
  expect(() => encodeEvent({ ...sample, repeatKey: Buffer.alloc(17) })).toThrow(RangeError)
  expect(() => encodeEvent({ ...sample, timestampMs: 1.5 })).toThrow(RangeError)
  expect(() => encodeEvent({ ...sample, timestampMs: Number.NaN })).toThrow(RangeError)
})
