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
      (head, offset, properties) => {
        const event = { ...head, project: 'p', collection: 'c', properties }
        const framed = frameEvent(encodeEvent(event))
        const line = Buffer.alloc(lineBytesMax(framed) + 1)
        const end = writeLine(line, 1, framed, offset)
        const sent = properties.toString().replaceAll('\r\n', '  ')
        const repeat = event.repeatKey === null ? '' : `"repeat_key":"${event.repeatKey.toString('hex')}",`
        const times = [event.timestampMs, event.createdAtMs].map((ms) => new Date(ms).toISOString())
        const expected = `{"id":"${idText(event.id)}","timestamp":"${times[0]}","created_at":"${times[1]}","offset":${offset},${repeat}"properties":${sent}}`
        expect(line.toString('utf8', 1, end)).toBe(`${expected}\n`)
        const whole = Buffer.from(expected)
        expect(parseLine(whole)).toEqual({
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
