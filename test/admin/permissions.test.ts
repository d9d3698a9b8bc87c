import { expect, test } from 'vitest'
import { DEPLOYMENT } from '../support/api.ts'
import { openTestAdmin, ORGANIZATION_URL, type Method } from '../support/open-admin.ts'
import { streamSettings } from '../support/streams.ts'

const PRESENTED = [
  'organization',
  'master',
  'read',
  'write',
  'access',
  'revoked',
  'foreign',
  'unknown',
  'none',
] as const
type Presented = (typeof PRESENTED)[number]

interface Row {
  readonly method: Method
  readonly url: string
  readonly body?: unknown
  readonly allowed: Presented
  readonly status: number
}

const PROJECT = '/3.0/projects/{P}'
const STREAM = { destination: { kind: 'folder', folder: 'f' }, format: 'avro' }
const ROWS: readonly Row[] = [
  { method: 'GET', url: ORGANIZATION_URL, allowed: 'organization', status: 200 },
  { method: 'POST', url: ORGANIZATION_URL, body: { name: 'n' }, allowed: 'organization', status: 201 },
  { method: 'GET', url: `${ORGANIZATION_URL}/{P}`, allowed: 'organization', status: 200 },
  { method: 'POST', url: `${ORGANIZATION_URL}/{P}`, body: { name: 'n' }, allowed: 'organization', status: 200 },
  { method: 'POST', url: `${ORGANIZATION_URL}/{P}/api_keys/read/replace`, allowed: 'organization', status: 200 },
  { method: 'DELETE', url: `${ORGANIZATION_URL}/{P}`, allowed: 'organization', status: 204 },
  { method: 'GET', url: '/3.0/projects', allowed: 'master', status: 200 },
  { method: 'GET', url: PROJECT, allowed: 'master', status: 200 },
  { method: 'HEAD', url: PROJECT, allowed: 'master', status: 200 },
  { method: 'GET', url: `${PROJECT}/organization-usage`, allowed: 'master', status: 200 },
  { method: 'GET', url: `${PROJECT}/limits`, allowed: 'master', status: 200 },
  { method: 'GET', url: `${PROJECT}/keys`, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/keys`, body: { name: 'n' }, allowed: 'master', status: 201 },
  { method: 'GET', url: `${PROJECT}/keys/{K}`, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/keys/{K}`, body: { name: 'n' }, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/keys/{K}/revoke`, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/keys/{K}/unrevoke`, allowed: 'master', status: 200 },
  { method: 'DELETE', url: `${PROJECT}/keys/{K}`, allowed: 'master', status: 204 },
  { method: 'GET', url: `${PROJECT}/streams`, allowed: 'master', status: 200 },
  { method: 'HEAD', url: `${PROJECT}/streams`, allowed: 'master', status: 200 },
  { method: 'GET', url: `${PROJECT}/streams/{S}`, allowed: 'master', status: 200 },
  { method: 'HEAD', url: `${PROJECT}/streams/{S}`, allowed: 'master', status: 200 },
  { method: 'PUT', url: `${PROJECT}/streams/{S}`, body: STREAM, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/streams/{S}/pause`, allowed: 'master', status: 200 },
  { method: 'POST', url: `${PROJECT}/streams/{S}/resume`, allowed: 'master', status: 200 },
  { method: 'GET', url: `${PROJECT}/streams/{S}/backfills`, allowed: 'master', status: 200 },
  { method: 'HEAD', url: `${PROJECT}/streams/{S}/backfills`, allowed: 'master', status: 200 },
  {
    method: 'POST',
    url: `${PROJECT}/streams/{S}/backfills`,
    body: { start: '2026-01-01', end: '2026-01-02' },
    allowed: 'master',
    status: 201,
  },
  { method: 'POST', url: `${PROJECT}/streams/{S}/test`, allowed: 'master', status: 200 },
  { method: 'DELETE', url: `${PROJECT}/streams/{S}`, allowed: 'master', status: 204 },
]

/** What a key that may not gets: of the project but not its master key, or none of it. */
const refusalOf = (allowed: Presented, presented: Presented): string =>
  allowed === 'master' && ['read', 'write', 'access'].includes(presented)
    ? 'AdminOnlyEndpointError'
    : 'InvalidApiKeyError'

for (const { method, url, body, allowed, status } of ROWS) {
  test(`${method} ${url.replace(DEPLOYMENT.organizationId, '{O}')} takes the ${allowed} key and no other`, async () => {
    const admin = await openTestAdmin({ streams: { settings: streamSettings('', '/nowhere') } })
    const project = await admin.createProject()
    const stream = await admin.send('PUT', `/3.0/projects/${project.id}/streams/s`, {
      key: project.master,
      body: STREAM,
    })
    expect(stream.status).toBe(201)
    const foreign = await admin.createProject('foreign')
    const access = { name: 'a', isActive: true, permitted: ['queries', 'writes', 'schema', 'datasets'] as const }
    const options = { writes: null, queries: null, saved_queries: null, cached_queries: null, datasets: null }
    const known = await admin.registry.createKey(project.id, { ...access, options })
    const revoked = await admin.registry.createKey(project.id, { ...access, options, isActive: false })
    const keys: Readonly<Record<Presented, string | undefined>> = {
      organization: DEPLOYMENT.organizationKey,
      master: project.master,
      read: project.read,
      write: project.write,
      access: known.secret,
      revoked: revoked.secret,
      foreign: foreign.master,
      unknown: 'F'.repeat(64),
      none: undefined,
    }
    const path = url.replace('{P}', project.id).replace('{K}', known.secret).replace('{S}', 's')
    const before = admin.log.records.length
    // Where the path names no project, another project's master key is at home.
    const refused = PRESENTED.filter((name) => name !== allowed && !(url === '/3.0/projects' && name === 'foreign'))
    for (const presented of refused) {
      const answer = await admin.send(method, path, { key: keys[presented], body })
      expect(answer.status, presented).toBe(401)
      if (method !== 'HEAD') expect(answer.body).toMatchObject({ error_code: refusalOf(allowed, presented) })
    }
    expect(admin.log.records).toHaveLength(before)
    expect((await admin.send(method, path, { key: keys[allowed], body })).status).toBe(status)
    if (url.includes('{P}')) {
      const nowhere = await admin.send(
        method,
        url.replace('{P}', 'f'.repeat(24)).replace('{K}', 'x').replace('{S}', 's'),
        {
          key: keys[allowed],
          body,
        },
      )
      expect(nowhere.status).toBe(404)
    }
  })
}

test('every route of the service is in the table above', async () => {
  const { routes } = await openTestAdmin()
  const pattern = ({ method, url }: Row): string =>
    `${method} ${url.replace(DEPLOYMENT.organizationId, ':organizationId').replace('{P}', ':projectId').replace('{K}', ':key').replace('{S}', ':name').replace('/read/', '/:kind/')}`
  const tested = new Set(ROWS.map(pattern))
  expect(routes.length).toBeGreaterThan(10)
  // HEAD goes with GET.
  expect(routes.filter((route) => !route.startsWith('HEAD') && !tested.has(route))).toEqual([])
})
