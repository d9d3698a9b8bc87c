import { DEPLOYMENT } from '../../support/api.ts'
import { openTestRegistry } from '../../support/open-registry.ts'
import { grantOf, NO_OPTIONS, type Grant } from '../../../services/shared/registry/grant.ts'
import type { KeyKind, KeyOptions } from '../../../services/shared/registry/model.ts'
import { buildQueryApi } from '../api.ts'
import { hexId, openTestWarehouse, store } from '../stored-events.ts'

export const NOW = Date.UTC(2026, 2, 31, 12)

export const keyGrant = (projectId: string, kind: KeyKind, options: Partial<KeyOptions> = {}): Grant =>
  grantOf({
    id: 'key',
    projectId,
    kind,
    secret: 'F'.repeat(64),
    name: 'key',
    isActive: true,
    permitted: ['datasets'],
    options: { ...NO_OPTIONS, ...options },
    createdAtMs: 0,
  })

export type Method = 'GET' | 'PUT' | 'DELETE' | 'POST' | 'HEAD'

export interface Row {
  readonly timeframe: { readonly start: string; readonly end: string }
  readonly value: unknown
}

/** What any of the routes answers; each has some of it. */
interface Body {
  readonly message?: string
  readonly next_page_url: string | null
  readonly result: readonly Row[]
}

/** A project with datasets over events of its own, and keys whose `options.datasets` are given. */
export async function openDatasets(
  events: readonly (Readonly<Record<string, unknown>> & { readonly atMs: number })[],
  access: Readonly<Record<string, Partial<KeyOptions>>> = {},
) {
  const opened = await openTestWarehouse()
  const { registry } = await openTestRegistry()
  const project = await registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })
  await store(
    opened.warehouse,
    events.map(({ atMs, ...event }, i) => ({
      project: project.id,
      collection: 'purchases',
      timestampMs: atMs,
      createdAtMs: atMs,
      id: hexId(i),
      body: JSON.stringify(event),
    })),
  )
  const keys: Record<string, Grant> = {
    MASTER: keyGrant(project.id, 'master'),
    READ: keyGrant(project.id, 'read'),
    WRITE: keyGrant(project.id, 'write'),
  }
  for (const [name, options] of Object.entries(access)) keys[name] = keyGrant(project.id, 'access', options)
  const { app } = buildQueryApi({
    warehouse: opened.warehouse,
    keys,
    nowMs: NOW,
    datasets: { definitions: registry.definitions, organizationId: DEPLOYMENT.organizationId },
  })
  const call = async (method: Method, path: string, key: string, body?: unknown) => {
    const answer = await app.inject({
      method,
      url: `/3.0/projects/${project.id}/${path}`,
      headers: { authorization: key, 'content-type': 'application/json', host: 'api.example:8080' },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    })
    if (answer.body === '') return { status: answer.statusCode, body: { next_page_url: null, result: [] } }
    return { status: answer.statusCode, body: answer.json<Body>() }
  }
  const close = async (): Promise<void> => {
    await app.close()
    await registry.close()
    await opened.close()
  }
  return { call, close, project }
}

export const definition = (query: Readonly<Record<string, unknown>> = {}, indexBy: unknown = 'user') => ({
  display_name: 'Purchases',
  index_by: indexBy,
  query: {
    analysis_type: 'count',
    event_collection: 'purchases',
    timeframe: 'this_30_days',
    interval: 'daily',
    ...query,
  },
})
