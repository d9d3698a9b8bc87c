import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { ADMIN_SETTINGS, registerAdmin, type StreamDeps } from '../../services/admin/app.ts'
import { buildServer } from '../../services/shared/http/server.ts'
import type { Registry, RegistryLimits } from '../../services/shared/registry/registry.ts'
import { DEPLOYMENT, type ProjectKeys } from './api.ts'
import type { MemoryLog } from './memory-control-log.ts'
import { openTestRegistry } from './open-registry.ts'
import { testStreams } from './streams.ts'

export interface OpenedAdmin {
  readonly app: FastifyInstance
  readonly registry: Registry
  readonly log: MemoryLog
  /** Every line that the server, the service and the registry logged, at the level `trace`. */
  readonly lines: string[]
  /** Of the service, with their methods. */
  readonly routes: readonly string[]
  send(method: Method, url: string, options?: { key?: string | undefined; body?: unknown }): Promise<Sent>
  createProject(name?: string): Promise<ProjectKeys>
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

export interface Sent {
  readonly status: number
  /** Parsed; undefined when empty. */
  readonly body: unknown
  readonly headers: Readonly<Record<string, unknown>>
}

export const ORGANIZATION_URL = `/3.0/organizations/${DEPLOYMENT.organizationId}/projects`

/** The admin service over a registry and a log in memory; a Buffer or a string as a body is sent as it is. */
export async function openTestAdmin(
  options: { limits?: Partial<RegistryLimits>; streams?: Partial<StreamDeps> } = {},
): Promise<OpenedAdmin> {
  const {
    registry,
    log,
    metrics,
    lines: registryLines,
  } = await openTestRegistry(options.limits === undefined ? {} : { limits: options.limits })
  const lines: string[] = [...registryLines]
  const logger = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: 10_000_000,
    isReady: async () => ({ ready: true, problems: [] }),
  })
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(...[method].flat().map((name) => `${name} ${url}`))
  })
  registerAdmin(app, { registry, metrics, logger, settings: ADMIN_SETTINGS, streams: testStreams(options.streams) })
  await app.ready()

  const send: OpenedAdmin['send'] = async (method, url, { key, body } = {}) => {
    const isRaw = Buffer.isBuffer(body) || typeof body === 'string'
    const answer = await app.inject({
      method,
      url,
      headers: { ...(key !== undefined && { authorization: key }), 'content-type': 'application/json' },
      ...(body !== undefined && { payload: isRaw ? body : JSON.stringify(body) }),
    })
    const parsed: unknown = answer.body === '' ? undefined : JSON.parse(answer.body)
    return { status: answer.statusCode, body: parsed, headers: answer.headers }
  }
  return {
    app,
    registry,
    log,
    lines,
    routes,
    send,
    async createProject(name = 'Flights') {
      const { status, body } = await send('POST', ORGANIZATION_URL, {
        key: DEPLOYMENT.organizationKey,
        body: { name, users: [] },
      })
      if (status !== 201) throw new Error(`project not made: ${status}`)
      const { id, api_keys } = body as { id: string; api_keys: Omit<ProjectKeys, 'id'> }
      return { id, ...api_keys }
    },
  }
}
