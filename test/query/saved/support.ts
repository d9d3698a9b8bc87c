import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import { topicSpecs } from '../../../services/shared/log/topics.ts'
import { type Grant, grantOf, NO_OPTIONS } from '../../../services/shared/registry/grant.ts'
import type { KeyKind, KeyOptions, Permission } from '../../../services/shared/registry/model.ts'
import { openTestRegistry } from '../../support/open-registry.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { buildQueryApi, SETTINGS } from '../api.ts'
import { openTestWarehouse } from '../stored-events.ts'

/** The real time: the warehouse drops what is a week old by its own clock. */
export const START = Date.now()

/** The query service with saved queries: engine, log and registry are real, the clock is the test's. */
export async function openSavedQueries(more: Partial<typeof SETTINGS.saved> = {}) {
  const { registry } = await openTestRegistry()
  const project = await registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })
  const projectId = project.id
  const folder = await mkdtemp(join(tmpdir(), 'tributary-saved-'))
  const log = await openLmdbLog({ folder, sessionTimeoutMs: 5_000, handoverTimeoutMs: 1_000 })
  await log.ensureTopics(topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 }))
  const opened = await openTestWarehouse()
  const clock = { ms: START }
  const keys: Record<string, Grant> = {}
  const addKey = (
    name: string,
    kind: KeyKind,
    permitted: readonly Permission[] = [],
    options: Partial<KeyOptions> = {},
  ) => {
    keys[name] = grantOf(
      {
        id: name,
        projectId,
        kind,
        secret: 'F'.repeat(64),
        name,
        isActive: true,
        permitted,
        options: { ...NO_OPTIONS, ...options },
        createdAtMs: 0,
      },
      () => [],
    )
  }
  for (const kind of ['master', 'read', 'write'] as const) addKey(kind.toUpperCase(), kind)
  const saved = { definitions: registry.definitions, log, projectGrant: () => keys['MASTER'] }
  const settings = { ...SETTINGS, saved: { ...SETTINGS.saved, ...more } }
  const options = { warehouse: opened.warehouse, keys, nowMs: START, now: () => clock.ms, settings, saved }
  const { app, works, metrics } = buildQueryApi(options)
  const stop = new AbortController()
  let running: Promise<unknown> = Promise.resolve()

  const send = async (method: 'GET' | 'PUT' | 'DELETE' | 'HEAD', path: string, key: string, sent?: unknown) => {
    const response = await app.inject({
      method,
      url: `/3.0/projects/${projectId}${path}`,
      headers: { authorization: key, ...(sent !== undefined && { 'content-type': 'application/json' }) },
      ...(sent !== undefined && { payload: JSON.stringify(sent) }),
    })
    const isJson = response.payload !== '' && String(response.headers['content-type']).includes('json')
    const body: unknown = isJson ? response.json() : undefined
    return { status: response.statusCode, body, response }
  }
  return {
    app,
    projectId,
    warehouse: opened.warehouse,
    registry,
    clock,
    addKey,
    send,
    metric: async (name: string) => metrics.getSingleMetricAsString(name),
    /** Begins to refresh. */
    work: () => {
      running = Promise.all(works.map(async ({ run }) => run(stop.signal)))
    },
    close: async () => {
      stop.abort()
      await running
      await app.close()
      await registry.close()
      await log.close()
      await opened.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
