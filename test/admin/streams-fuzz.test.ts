import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { openTestAdmin } from '../support/open-admin.ts'
import { streamSettings } from '../support/streams.ts'

const json = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(null, true, -1, 1e308, 2 ** 60, '', '\u0000', '\ud800', '********'),
)
const destinations = fc.oneof(
  json,
  fc.record(
    {
      kind: fc.constantFrom('s3', 'gcs', 'folder'),
      bucket: fc.oneof(fc.constant('lake'), fc.string(), json),
      region: fc.oneof(fc.constant('eu-central-1'), json),
      endpoint: fc.oneof(fc.webUrl(), fc.string({ unit: 'binary' }), json),
      folder: fc.oneof(fc.constantFrom('a', '../a', 'a/b'), fc.string({ unit: 'binary' }), json),
      credentials: fc.oneof(
        json,
        fc.record(
          { kind: fc.constantFrom('static', 'role'), access_key_id: json, secret_access_key: json, role_arn: json },
          { requiredKeys: [] },
        ),
      ),
    },
    { requiredKeys: ['kind'] },
  ),
  fc.record({ kind: fc.constant('folder'), folder: fc.stringMatching(/^[a-z]{1,9}$/) }),
)
/** Mostly good, so that the other fields are reached. */
const mostly = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 8, arbitrary: good }, { weight: 1, arbitrary: json })
const nearStreams = fc.record(
  {
    destination: destinations,
    format: mostly(fc.constant('avro')),
    prefix: mostly(fc.constantFrom('{project}/', '{collection}-', '{x}', '../', '{')),
    collections: mostly(fc.constantFrom(null, ['a', 'b c'])),
    filters: mostly(fc.constant([{ property_name: 'a', operator: 'eq', property_value: 1 }])),
    cadence_minutes: mostly(fc.integer({ min: 1, max: 60 })),
    start: mostly(fc.constantFrom('now', '2020-01-01')),
    paused: mostly(fc.boolean()),
  },
  { requiredKeys: ['destination', 'format'] },
)

test('whatever is sent as a stream, the answer is never a 5xx, and what was taken can be read back', async () => {
  const admin = await openTestAdmin({ streams: { settings: streamSettings('minio.internal:9000', '/nowhere') } })
  const { id, master: key } = await admin.createProject()
  const url = `/3.0/projects/${id}/streams/s`
  const seen = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(fc.oneof({ weight: 9, arbitrary: nearStreams }, json), async (body) => {
      const answer = await admin.send('PUT', url, { key, body: JSON.stringify(body) })
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
      expect([200, 201, 400]).toContain(answer.status)
      if (answer.status === 400) {
        const text: unknown = expect.any(String)
        expect(answer.body).toEqual({ message: text, error_code: text })
      } else expect((await admin.send('GET', url, { key })).body).toEqual(answer.body)
    }),
    { numRuns: 1_500 },
  )
  for (const status of [200, 400]) expect(seen.get(status) ?? 0, String(status)).toBeGreaterThan(10)
})
