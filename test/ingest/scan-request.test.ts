import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventPreparer } from '../../services/ingest/domain/prepare-event.ts'
import { type EventSpan, RequestScanner } from '../../services/ingest/domain/scan-request.ts'
import { INGEST_DEFAULTS } from '../../services/ingest/settings.ts'

const RULES = { ...INGEST_DEFAULTS, depthMax: 6, propertiesMax: 40, eventBytesMax: 2_000, eventsPerRequestMax: 8 }
const scanner = new RequestScanner(RULES)
const preparer = new EventPreparer(RULES, { geo: () => 'not_found', userAgent: () => 'not_found' })
const VISIT = { receivedAtMs: 0, address: () => '192.0.2.1', userAgent: 'agent' }

const scanOne = (text: string): EventSpan | undefined => scanner.scan(Buffer.from(text), 'c')?.[0]?.events[0]
const textOf = ({ bytes, from, cutFrom, cutTo, to }: EventSpan): string =>
  bytes.toString('utf8', from, cutFrom) + bytes.toString('utf8', cutTo, to)

test.each([
  ['{}', '{}'],
  [' {\n} ', '{\n}'],
  ['{"a":1}', '{"a":1}'],
  ['{"keen":{"timestamp":"2024-01-01"}}', '{}'],
  ['{ "keen" : { "timestamp" : "2024-01-01" } , "a":1}', '{  "a":1}'],
  ['{"a":1, "keen":{"timestamp":"2024-01-01"} ,"b":2}', '{"a":1 ,"b":2}'],
  ['{"a":1,"keen":{"timestamp":"2024-01-01"}}', '{"a":1}'],
  ['{"a":{"keen":{"x":1}},"keen2":2,"kee":3}', '{"a":{"keen":{"x":1}},"keen2":2,"kee":3}'],
  ['{"a":"\\u00e9\\ud7ff\\ue000\\"\\\\\\/\\b\\f\\n\\r\\t.é😀","b":[-0.5,0,[],{}],"c":[true,false,null]}', undefined],
])('%s goes to the log as it stands, without its keen object', (text, expected) => {
  const span = scanOne(text)
  expect(span === undefined ? undefined : textOf(span)).toBe(expected ?? text)
})

test.each([
  '',
  '[]',
  '1',
  '{',
  '{}x',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{,}',
  '{"a":01}',
  '{"a":1.}',
  '{"a":.5}',
  '{"a":+1}',
  '{"a":-}',
  '{"a":1e5}',
  '{"a":1234567890123456}',
  '{"a":tru}',
  '{"a":nul}',
  '{"a":"x}',
  '{"a":"\t"}',
  '{"a":"\\x"}',
  '{"a":"\\ud800"}',
  '{"a":"\\uDFFF"}',
  '{"a":"\\u12g4"}',
  '{"a":"${keen.ip}"}',
  '{"a":["${keen.user_agent}"]}',
  '{"a":"\\u0024{keen.ip}"}',
  '{"a":"$\\u007bkeen.ip}"}',
  '{"a":1,"a":2}',
  '{"b":{"a":1,"a":2}}',
  '{"a.b":1}',
  '{"":1}',
  '{"a\\n":1}',
  '{"a":[1,]}',
  '{"a":[1 2]}',
  '{"a" 1}',
  '{a:1}',
  `{'a':1}`,
  '{"keen":1}',
  '{"keen":{}}',
  '{"keen":{"timestamp":"x"}}',
  '{"keen":{"timestamp":1}}',
  '{"keen":{"timestamp":"2024-01-01","x":1}}',
  '{"keen":{"uniqueness_token":"t"}}',
  '{"keen":{"timestamp":"2024-01-01"},"keen":{"timestamp":"2024-01-01"}}',
  `{"a":${'['.repeat(6)}${']'.repeat(6)}}`,
  `{"a":"${'x'.repeat(2_000)}"}`,
  '\ufeff{}',
])('%s is left to the whole rules', (text) => {
  expect(scanOne(text)).toBeUndefined()
})

const name = fc.oneof(
  fc.constantFrom('a', 'b', 'keen', 'timestamp', 'a.b', ''),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r ')
/** JSON text from pairs, so that names come twice, with space anywhere and escapes of every kind. */
const valueText: fc.Arbitrary<string> = fc.letrec<{ value: string; object: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue({ maxDepth: 0 }).map((scalar) => JSON.stringify(scalar)),
    fc.string({ unit: 'binary', maxLength: 8 }).map((text) => JSON.stringify(text)),
    fc.constantFrom(
      '0',
      '-1',
      '1.50',
      '-0',
      '123456789012345',
      '9007199254740993',
      '1E5',
      '"\\u0041\\/"',
      '"\\ud83d\\ude00"',
      '"2024-01-01"',
      '"${keen.ip}"',
      '"$\\u007Bkeen.ip}"',
      '"\\u0024{keen.user_agent}"',
      '"${keen.\\u0069p}"',
    ),
    fc
      .array(
        fc.tuple(space, tie('value'), space).map((parts) => parts.join('')),
        { maxLength: 3 },
      )
      .map((items) => `[${items.join(',')}]`),
    tie('object'),
  ),
  object: fc
    .array(
      fc.tuple(space, name, space, fc.oneof(tie('value'), fc.constant('{"timestamp":"2024-01-01T00:00:00Z"}')), space),
      { maxLength: 4 },
    )
    .map(
      (members) =>
        `{${members.map(([a, key, b, value, c]) => `${a}${JSON.stringify(key)}${b}:${value}${c}`).join(',')}}`,
    ),
})).object
const damaged = fc
  .tuple(valueText, fc.nat(), fc.constantFrom('', '"', ',', '{', '}', ':', '\\', '1', '.', ' '))
  .map(([text, at, insert]) => text.slice(0, at % text.length) + insert + text.slice((at % text.length) + (at % 2)))

const hasRepeatedName = (text: string): boolean => {
  let kept = 0
  JSON.parse(text, (_key, value: unknown) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) kept += Object.keys(value).length
    return value
  })
  // A name given twice is kept once, and has its colon each time.
  const members = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(':').length - 1
  return members !== kept
}

test('what the scan takes, the whole rules take, with the same time and the same content, and no name twice', () => {
  let taken = 0
  fc.assert(
    fc.property(fc.oneof(valueText, damaged), (generated) => {
      const text = generated.toWellFormed()
      const span = scanOne(text)
      if (span === undefined) return
      taken += 1
      const prepared = preparer.prepare(JSON.parse(text), null, VISIT, () => {})
      expect(prepared).toEqual({
        timestampMs: Number.isNaN(span.timestampMs) ? undefined : span.timestampMs,
        uniquenessToken: undefined,
        properties: JSON.stringify(JSON.parse(textOf(span))),
      })
      expect(hasRepeatedName(textOf(span))).toBe(false)
    }),
    { numRuns: 5_000 },
  )
  expect(taken).toBeGreaterThan(500)
})

test('a batch keeps its collections and events in order, or is left to the whole rules', () => {
  const scan = (text: string) =>
    scanner.scan(Buffer.from(text), undefined)?.map(({ collection, events }) => [collection, events.map(textOf)])
  expect(scan(' { } ')).toEqual([])
  expect(scan('{"b":[{"n":1}, {"n":2} ],"a.b":[],"1":[{}]}')).toEqual([
    ['b', ['{"n":1}', '{"n":2}']],
    ['a.b', []],
    ['1', ['{}']],
  ])
  for (const text of [
    '[]',
    '{"a":{}}',
    '{"a":[1]}',
    '{"a":[{},]}',
    '{"a":[{}],}',
    '{"a":[{}]',
    '{"a":[],"a":[]}',
    '{"é":[]}',
    '{"":[]}',
    '{"a\\n":[]}',
    `{"${'x'.repeat(65)}":[]}`,
    `{"a":[${'{},'.repeat(8)}{}]}`,
    '{"a":[{}]}{}',
  ]) {
    expect(scan(text), text).toBeUndefined()
  }
})
