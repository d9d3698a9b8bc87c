import { beforeAll, describe, expect, test } from 'vitest'
import { DEPLOYMENT } from '../../support/api.ts'
import { deployed } from './deployment.ts'

/** Who may call what, every endpoint and every kind of key: allowed is any answer that is not a refusal of the key. */

const at = deployed()

const PERMISSIONS = [
  'writes',
  'queries',
  'saved_queries',
  'cached_queries',
  'datasets',
  'schema',
  'query_definition',
] as const
type Caller = 'master' | 'write' | 'read' | 'organization' | 'nothing' | (typeof PERMISSIONS)[number]
const CALLERS: readonly Caller[] = ['master', 'write', 'read', 'organization', 'nothing', ...PERMISSIONS]

const query = encodeURIComponent(
  JSON.stringify([{ event_collection: 'c', actor_property: 'who', timeframe: 'this_2_days' }]),
)
const C = 'event_collection=c&timeframe=this_2_days'
const saved = (refresh_rate: number): object => ({
  refresh_rate,
  query: { analysis_type: 'count', event_collection: 'c', timeframe: 'this_2_days' },
})

interface Endpoint {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly allowed: readonly Caller[]
}

const READS: readonly Caller[] = ['master', 'read', 'queries']
const ENDPOINTS: readonly Endpoint[] = [
  { method: 'GET', path: '', allowed: ['master'] },
  { method: 'POST', path: '/events', body: { c: [{}] }, allowed: ['master', 'write', 'writes'] },
  { method: 'POST', path: '/events/c', body: {}, allowed: ['master', 'write', 'writes'] },
  { method: 'GET', path: '/events/c?data=e30=', allowed: ['master', 'write', 'writes'] },
  { method: 'GET', path: '/events', allowed: ['master', 'read', 'schema'] },
  { method: 'GET', path: '/events/c', allowed: ['master', 'read', 'schema'] },
  { method: 'GET', path: '/events/c/properties/who', allowed: ['master', 'read', 'schema'] },
  { method: 'DELETE', path: '/events/nothing-there?timeframe=this_2_days', allowed: ['master'] },
  { method: 'DELETE', path: '/events/nothing-there/properties/x', allowed: ['master'] },
  { method: 'GET', path: '/deletions', allowed: ['master'] },
  { method: 'GET', path: '/queries', allowed: READS },
  { method: 'GET', path: `/queries/count?${C}`, allowed: READS },
  { method: 'GET', path: `/queries/extraction?${C}`, allowed: READS },
  { method: 'GET', path: `/queries/funnel?steps=${query}`, allowed: READS },
  {
    method: 'GET',
    path: `/queries/multi_analysis?${C}&analyses=${encodeURIComponent('{"a":{"analysis_type":"count"}}')}`,
    allowed: READS,
  },
  { method: 'POST', path: '/queries/count', body: { event_collection: 'c', timeframe: 'this_2_days' }, allowed: READS },
  { method: 'POST', path: '/queries/sql', body: { query: 'SELECT count() FROM c' }, allowed: READS },
  { method: 'GET', path: '/queries/saved', allowed: ['master'] },
  { method: 'GET', path: '/queries/saved/plain', allowed: ['master', 'query_definition'] },
  { method: 'PUT', path: '/queries/saved/made', body: saved(0), allowed: ['master'] },
  { method: 'DELETE', path: '/queries/saved/absent', allowed: ['master'] },
  { method: 'GET', path: '/queries/saved/plain/result', allowed: ['master', 'read', 'saved_queries'] },
  { method: 'GET', path: '/queries/saved/cached/result', allowed: ['master', 'read', 'cached_queries'] },
  { method: 'GET', path: '/datasets', allowed: ['master', 'read', 'datasets'] },
  { method: 'GET', path: '/datasets/d', allowed: ['master', 'read', 'datasets'] },
  {
    method: 'GET',
    path: '/datasets/d/results?index_by=x&timeframe=this_2_days',
    allowed: ['master', 'read', 'datasets'],
  },
  { method: 'DELETE', path: '/datasets/absent', allowed: ['master'] },
  { method: 'GET', path: '/keys', allowed: ['master'] },
  { method: 'POST', path: '/keys', body: { name: 'x', permitted: [] }, allowed: ['master'] },
  { method: 'GET', path: '/keys/absent', allowed: ['master'] },
  { method: 'DELETE', path: '/keys/absent', allowed: ['master'] },
  { method: 'POST', path: '/keys/absent/revoke', allowed: ['master'] },
  { method: 'GET', path: '/organization-usage', allowed: ['master'] },
]

const keys = new Map<Caller, string>()
beforeAll(async () => {
  const { project, accessKey, record, send } = at()
  await record({ c: [{ who: 'bob' }] })
  await send('PUT', '/queries/saved/plain', { key: project.master, body: saved(0) })
  await send('PUT', '/queries/saved/cached', { key: project.master, body: saved(14_400) })
  await send('PUT', '/datasets/d', {
    key: project.master,
    body: {
      display_name: 'D',
      index_by: 'who',
      query: { analysis_type: 'count', event_collection: 'c', timeframe: 'this_2_days', interval: 'daily' },
    },
  })
  keys.set('master', project.master).set('write', project.write).set('read', project.read)
  keys.set('organization', DEPLOYMENT.organizationKey)
  keys.set('nothing', await accessKey({ permitted: [] }))
  for (const permission of PERMISSIONS) keys.set(permission, await accessKey({ permitted: [permission] }))
})

describe('7.7 who may call what', () => {
  test.each(ENDPOINTS)('7.7 $method $path', async ({ method, path, body, allowed }) => {
    const admitted: Caller[] = []
    for (const caller of CALLERS) {
      const { status, body: answer } = await at().send(method, path, {
        key: keys.get(caller) ?? '',
        ...(body !== undefined && { body }),
      })
      // Every refusal is one of the two; and a fault of the service is not an admission.
      expect({ caller, path, status, isFault: status >= 500 }).toEqual({ caller, path, status, isFault: false })
      if (status === 401 || status === 403) expect(answer).toHaveProperty('error_code')
      else admitted.push(caller)
    }
    expect(admitted.toSorted()).toEqual([...allowed].toSorted())
  })

  test('7.7 the organization’s projects are the organization key’s alone', async () => {
    const path = `/3.0/organizations/${DEPLOYMENT.organizationId}/projects`
    for (const caller of CALLERS) {
      const { status } = await at().sendTo('GET', path, { key: keys.get(caller) ?? '' })
      expect({ caller, status }).toEqual({ caller, status: caller === 'organization' ? 200 : 401 })
    }
  })

  test('7.7 without a key, and under another project’s, everything is refused', async () => {
    for (const { method, path, body } of ENDPOINTS) {
      for (const key of [undefined, 'F'.repeat(64)]) {
        const { status } = await at().send(method, path, {
          ...(key !== undefined && { key }),
          ...(body !== undefined && { body }),
        })
        expect({ method, path, status }).toEqual({ method, path, status: 401 })
      }
    }
  })
})
