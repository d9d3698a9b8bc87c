import { randomUUID } from 'node:crypto'
import { DEPLOYMENT } from '../../support/api.ts'
import { openTestRegistry } from '../../support/open-registry.ts'
import { type DeletionsOf, grantOf, NO_OPTIONS, type Grant } from '../../../services/shared/registry/grant.ts'
import { deletionOf } from '../../../services/shared/deletions/model.ts'
import type { Warehouse } from '../../../services/shared/warehouse/port.ts'
import type { EventLog } from '../../../services/shared/log/port.ts'
import type { KeyKind, KeyOptions } from '../../../services/shared/registry/model.ts'
import { buildQueryApi, SETTINGS } from '../api.ts'
import { hexId, openTestWarehouse, store, WIDE_LIMITS } from '../stored-events.ts'

export const NOW = Date.UTC(2026, 2, 31, 12)

export const keyGrant = (
  projectId: string,
  kind: KeyKind,
  options: Partial<KeyOptions> = {},
  deletionsOf: DeletionsOf = () => [],
): Grant =>
  grantOf(
    {
      id: 'key',
      projectId,
      kind,
      secret: 'F'.repeat(64),
      name: 'key',
      isActive: true,
      permitted: ['datasets'],
      options: { ...NO_OPTIONS, ...options },
      createdAtMs: 0,
    },
    deletionsOf,
  )

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
  ahead?: {
    readonly log: Pick<EventLog, 'consume'>
    readonly clock: { readonly ms: number }
    readonly refreshS: number
    readonly valuesMax?: number
    /** Awaited before each insert into a table. */
    readonly beforeInsert?: (table: string) => Promise<void>
    /** Does a command, when it likes. */
    readonly aroundCommand?: (sql: string, command: () => Promise<void>) => Promise<void>
  },
) {
  const opened = await openTestWarehouse()
  const { registry } = await openTestRegistry()
  const project = await registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })
  let count = 0
  const put = async (some: typeof events): Promise<void> =>
    store(
      opened.warehouse,
      some.map(({ atMs, ...event }) => ({
        project: project.id,
        collection: 'purchases',
        timestampMs: atMs,
        createdAtMs: atMs,
        id: hexId(count),
        offset: count++,
        body: JSON.stringify(event),
      })),
    )
  await put(events)
  const deletionsOf: DeletionsOf = (collection) =>
    registry.definitions
      .list('deletion', project.id)
      .flatMap((definition) => deletionOf(definition) ?? [])
      .filter((deletion) => deletion.collection === collection)
  const grant = (kind: KeyKind, options: Partial<KeyOptions> = {}): Grant =>
    keyGrant(project.id, kind, options, deletionsOf)
  const keys: Record<string, Grant> = { MASTER: grant('master'), READ: grant('read'), WRITE: grant('write') }
  for (const [name, options] of Object.entries(access)) keys[name] = grant('access', options)
  const { refreshS = 0, valuesMax = SETTINGS.datasets.valuesMax } = ahead ?? {}
  const { app, works, metrics } = buildQueryApi({
    warehouse: slowed(opened.warehouse, ahead),
    keys,
    nowMs: NOW,
    ...(ahead !== undefined && { now: () => ahead.clock.ms }),
    settings: { ...SETTINGS, datasets: { ...SETTINGS.datasets, refreshS, valuesMax } },
    definitions: registry.definitions,
    datasets: {
      organizationId: DEPLOYMENT.organizationId,
      ...(ahead !== undefined && { work: { log: ahead.log, projectGrant: () => keys['MASTER'] } }),
    },
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
  const stop = new AbortController()
  let running: Promise<unknown> = Promise.resolve()
  const close = async (): Promise<void> => {
    stop.abort()
    await running
    await app.close()
    await registry.close()
    await opened.close()
  }
  return {
    call,
    close,
    project,
    store: put,
    metric: async (name: string) => metrics.getSingleMetricAsString(name),
    /** Rows of a table of the warehouse. */
    count: async (table: string): Promise<number> => {
      const query = { sql: `SELECT count() FROM ${table}`, params: {}, limits: WIDE_LIMITS }
      const { rows } = await opened.warehouse.read({ ...query, queryId: randomUUID(), signal: stop.signal })
      return Number(rows[0]?.[0])
    },
    /** Begins to compute ahead; told again, as one more process. */
    work: () => {
      running = Promise.all([running, ...works.map(async ({ run }) => run(stop.signal))])
    },
  }
}

type Slow = Pick<NonNullable<Parameters<typeof openDatasets>[2]>, 'beforeInsert' | 'aroundCommand'>

function slowed(warehouse: Warehouse, { beforeInsert, aroundCommand }: Slow = {}): Warehouse {
  if (beforeInsert === undefined && aroundCommand === undefined) return warehouse
  const insert: Warehouse['insert'] = async (request) => {
    await beforeInsert?.(request.table)
    return warehouse.insert(request)
  }
  const command: Warehouse['command'] = async (sql, params) => {
    const told = async (): Promise<void> => warehouse.command(sql, params)
    return aroundCommand === undefined ? told() : aroundCommand(sql, told)
  }
  return new Proxy(warehouse, {
    get(target, name) {
      if (name === 'insert') return insert
      if (name === 'command') return command
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
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
