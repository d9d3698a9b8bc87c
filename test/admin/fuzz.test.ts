import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DEPLOYMENT } from '../support/api.ts'
import { openTestAdmin, ORGANIZATION_URL, type Method } from '../support/open-admin.ts'

const CASES = 1_500

const names = fc.constantFrom(
  'name',
  'is_active',
  'permitted',
  'options',
  'users',
  'email',
  'preferences',
  'writes',
  'queries',
  'saved_queries',
  'cached_queries',
  'datasets',
  'schema',
  'autofill',
  'filters',
  'allowed',
  'blocked',
  'operations',
  'index_by',
  'property_name',
  'operator',
  'property_value',
  'operands',
  'coordinates',
  '__proto__',
  'constructor',
  '',
)
const words = fc.constantFrom(
  'queries',
  'writes',
  'eq',
  'or',
  'and',
  'in',
  'within',
  'regex',
  'read',
  'a@b.c',
  'a.b',
  '$a',
  '(',
  'keen.timestamp',
)
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -1, 1e308, 2 ** 60, '', '\u0000', '\ud800'),
    words,
    fc.string({ unit: 'binary', maxLength: 10 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(names, tie('json'), { maxKeys: 5 }),
  ),
}))
/** Near enough to a good body that the inner fields are reached. */
const nearKeys = fc.record(
  {
    name: fc.oneof(fc.string(), json),
    is_active: fc.oneof(fc.boolean(), json),
    permitted: fc.oneof(fc.subarray(['queries', 'writes', 'schema']), json),
    options: fc.oneof(
      json,
      fc.record(
        {
          writes: fc.oneof(json, fc.record({ autofill: json })),
          queries: fc.oneof(
            json,
            fc.record({
              filters: fc.array(
                fc.oneof(
                  json,
                  fc.record(
                    { property_name: words, operator: words, property_value: json, operands: json },
                    { requiredKeys: [] },
                  ),
                ),
                { maxLength: 3 },
              ),
            }),
          ),
          saved_queries: fc.oneof(
            json,
            fc.record({ allowed: json, blocked: json, filters: json }, { requiredKeys: [] }),
          ),
          datasets: fc.oneof(json, fc.record({ operations: json, allowed: json, blocked: json }, { requiredKeys: [] })),
        },
        { requiredKeys: [] },
      ),
    ),
  },
  { requiredKeys: [] },
)
const nearProjects = fc.record(
  {
    name: fc.oneof(fc.string(), json),
    users: fc.oneof(json, fc.array(fc.record({ email: fc.oneof(words, json) }))),
    preferences: json,
  },
  { requiredKeys: [] },
)
const bodies = fc.oneof(
  { weight: 3, arbitrary: nearKeys.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 2, arbitrary: nearProjects.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 1, arbitrary: json.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.nat(3_000).map((levels) => Buffer.from(`{"options":${'['.repeat(levels)}`)) },
)
const segments = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.constantFrom('%', '%zz', '%00', '..', '', '//', '?page=x', '?a=1&a=2'),
)

test('whatever is sent, the answer is never a 5xx, failures have a code and a message, and what was taken can be read back', async () => {
  const admin = await openTestAdmin({ limits: { keysPerProjectMax: 100_000, projectsMax: 100_000 } })
  const project = await admin.createProject()
  const keys = `/3.0/projects/${project.id}/keys`
  const seen = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(
      bodies,
      segments,
      fc.constantFrom<Method>('POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'DELETE'),
      fc.constantFrom('keys', 'key', 'projects', 'project', 'odd key', 'odd project'),
      async (body, segment, method, target) => {
        const isProject = target.endsWith('project') || target === 'projects'
        const url = {
          keys,
          key: `${keys}/${project.read}`,
          projects: ORGANIZATION_URL,
          project: `${ORGANIZATION_URL}/${project.id}`,
          'odd key': `${keys}/${segment}`,
          'odd project': `${ORGANIZATION_URL}/${segment}`,
        }[target]
        if (method === 'DELETE' && (target === 'project' || target === 'key')) return
        const key = isProject ? DEPLOYMENT.organizationKey : project.master
        const answer = await admin.send(method, url, { key, body })
        seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
        expect(answer.status).toBeLessThan(500)
        if (answer.status >= 400) {
          expect(answer.body).toEqual({
            message: expect.any(String) as unknown,
            error_code: expect.any(String) as unknown,
          })
        } else if (answer.status === 201 && target === 'keys') {
          const made = answer.body as { key: string }
          expect((await admin.send('GET', `${keys}/${made.key}`, { key: project.master })).body).toEqual(made)
        }
      },
    ),
    { numRuns: CASES },
  )
  // It has been in the good paths and in the bad ones.
  for (const status of [200, 201, 400, 404]) expect(seen.get(status) ?? 0, String(status)).toBeGreaterThan(10)
})
