import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../../support/api.ts'
import { eventually, type ServiceProcess, startService } from '../../support/processes.ts'

export interface Sent {
  readonly status: number
  /** Parsed where it is JSON. */
  readonly body: unknown
  readonly text: string
  readonly headers: Headers
}

export interface SendOptions {
  /** In the header `Authorization`. */
  readonly key?: string
  /** Sent as JSON, a string as it is. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Deployed {
  readonly url: string
  readonly project: ProjectKeys
  /** A path from the root. */
  readonly sendTo: (method: string, path: string, options?: SendOptions) => Promise<Sent>
  /** A path under the project's. */
  readonly send: (method: string, path: string, options?: SendOptions) => Promise<Sent>
  /** Posts an analysis with the read key. */
  readonly ask: (analysis: string, query: object, key?: string) => Promise<Sent>
  /** Records, and waits until a count sees all that the collections got. */
  readonly record: (events: Readonly<Record<string, readonly object[]>>) => Promise<void>
  readonly counted: (collection: string, expected: number) => Promise<void>
  readonly accessKey: (fields: object) => Promise<string>
}

export const EVER = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }

/** A deployment of one process for the tests of this file, with one project. */
export function deployed(env: Readonly<Record<string, string>> = {}): () => Deployed {
  let service: ServiceProcess
  let folder: string
  let current: Deployed
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-conformance-'))
    service = await startService('all', {
      env: { ...deploymentEnv(DEPLOYMENT), TRIBUTARY_DATA_DIR: folder, ...env },
    })
    current = clientOf(service.url, await createProject(service.url, DEPLOYMENT, 'conformance'))
  })
  afterAll(async () => {
    await service.stop()
    await rm(folder, { recursive: true, force: true })
  })
  return () => current
}

function clientOf(url: string, project: ProjectKeys): Deployed {
  const sendTo: Deployed['sendTo'] = async (method, path, { key, body, headers = {} } = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(key !== undefined && { authorization: key }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json')
    return {
      status: response.status,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
      text,
      headers: response.headers,
    }
  }
  const send: Deployed['send'] = async (method, path, options) =>
    sendTo(method, `/3.0/projects/${project.id}${path}`, options)
  const ask: Deployed['ask'] = async (analysis, query, key = project.read) =>
    send('POST', `/queries/${analysis}`, { key, body: query })
  const counted: Deployed['counted'] = async (collection, expected) => {
    await eventually(`${expected} of ${collection}`, async () => {
      const { body } = await ask('count', { event_collection: collection, timeframe: EVER }, project.master)
      return (body as { result?: unknown }).result === expected
    })
  }
  return {
    url,
    project,
    sendTo,
    send,
    ask,
    counted,
    async record(events) {
      const { status, text } = await send('POST', '/events', { key: project.write, body: events })
      if (status !== 200 || text.includes('"success":false')) throw new Error(`not recorded: ${status} ${text}`)
      for (const [collection, list] of Object.entries(events)) await counted(collection, list.length)
    },
    async accessKey(fields) {
      const { status, body, text } = await send('POST', '/keys', {
        key: project.master,
        body: { name: 'k', is_active: true, permitted: [], options: {}, ...fields },
      })
      if (status !== 201) throw new Error(`no key: ${status} ${text}`)
      return (body as { key: string }).key
    },
  }
}

/** The error object, as every failure has it. */
export const failure = (code: string): object => ({ error_code: code, message: expectString() })
const expectString = (): unknown => ({ asymmetricMatch: (value: unknown) => typeof value === 'string' && value !== '' })
