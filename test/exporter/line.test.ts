import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { lineBytesMax, parseLine, writeLine } from '../../services/exporter/domain/line.ts'
import { encodeEvent, frameEvent } from '../../services/shared/events/codec.ts'
import { idText } from '../../services/shared/events/event.ts'

const anyTime = fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2299, 11, 31, 23, 59, 59, 999) })
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes))

test('a line is the JSON of its event, with the properties as they were sent, and is read back', () => {
  fc.assert(
    fc.property(
      fc.record({ id: sixteen, timestampMs: anyTime, createdAtMs: anyTime, repeatKey: fc.option(sixteen) }),
      fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat().map(BigInt), fc.nat(1_000).map(BigInt)),
      fc.jsonValue().map((value) => Buffer.from(JSON.stringify({ value }, null, 1).replaceAll('\n', '\r\n'))),
      fc.boolean(),
      (head, offset, properties, isLong) => {
        const event = { ...head, project: 'p', collection: isLong ? 'c'.repeat(300) : 'c', properties }
        const framed = frameEvent(encodeEvent(event))
        const line = Buffer.alloc(lineBytesMax(framed) + 1)
        const end = writeLine(line, 1, framed, offset)
        const sent = properties.toString().replaceAll('\r\n', '  ')
        const repeat = event.repeatKey === null ? '' : `"repeat_key":"${event.repeatKey.toString('hex')}",`
        const times = [event.timestampMs, event.createdAtMs].map((ms) => new Date(ms).toISOString())
        const expected = `{"id":"${idText(event.id)}","timestamp":"${times[0]}","created_at":"${times[1]}","offset":${offset},${repeat}"properties":${sent}}`
        expect(line.toString('utf8', 1, end)).toBe(`${expected}\n`)
        const whole = Buffer.from(expected)
        const read = parseLine(whole)
        expect({
          id: read?.id,
          timestampMs: read?.timestampMs,
          createdAtMs: read?.createdAtMs,
          offset: read?.offset,
          repeatKey: read?.repeatKey,
          properties: read?.properties,
          line: read?.line,
        }).toEqual({
          id: idText(event.id),
          timestampMs: event.timestampMs,
          createdAtMs: event.createdAtMs,
          offset,
          repeatKey: event.repeatKey?.toString('hex') ?? null,
          properties: Buffer.from(sent),
          line: whole,
        })
      },
    ),
    { numRuns: 300 },
  )
})

test('what only looks like a line is none', () => {
  const framed = frameEvent(
    encodeEvent({
      project: 'p',
      collection: 'c',
      id: Buffer.alloc(16, 7),
      timestampMs: 1,
      createdAtMs: 2,
      repeatKey: Buffer.alloc(16, 9),
      properties: Buffer.from('{"a":1}'),
    }),
  )
  const target = Buffer.alloc(lineBytesMax(framed))
  const line = target.subarray(0, writeLine(target, 0, framed, 17n) - 1)
  expect(parseLine(line)?.offset).toBe(17n)
  // Outside of what differs from event to event, each byte counts.
  const fixed = line.toString('latin1').matchAll(/"[a-z_]+":"?|",|\{|\}$/g)
  for (const { index, 0: text } of [...fixed].filter((_, i) => i < 8)) {
    for (let i = index; i < index + text.length; i += 1) {
      const other = Buffer.from(line)
      other[i] = (other[i] ?? 0) ^ 1
      expect(parseLine(other), other.toString()).toBeUndefined()
    }
  }
  for (const short of [0, 1, 40, 140, line.length - 2]) expect(parseLine(line.subarray(0, short))).toBeUndefined()
})
