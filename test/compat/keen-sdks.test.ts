import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../support/api.ts'
import { leadHttpsTo } from '../support/https-front.ts'
import { eventually, type ServiceProcess, startService } from '../support/processes.ts'

// The published packages as npm installs them, through the entry that their package.json names for Node.
const require = createRequire(import.meta.url)
const KeenTracking = require('keen-tracking') as new (config: object) => Tracking
const KeenAnalysis = require('keen-analysis') as new (config: object) => Analysis

interface Tracking {
  recordEvent(collection: string, event: object): Promise<unknown>
  recordEvents(events: object): Promise<unknown>
  deferEvent(collection: string, event: object): void
  deferEvents(events: object): void
  recordDeferredEvents(): void
  queueInterval(seconds: number): void
  on(event: string, handler: (...parameters: unknown[]) => void): void
}
interface Analysis {
  query(query: object): Promise<{ result: unknown }>
}

const HOST = 'tributary.test'
const ALL_TIME = { start: '2026-01-01T00:00:00Z', end: '2026-02-01T00:00:00Z' }

let service: ServiceProcess
let folder: string
let front: { close(): Promise<void> }
let project: ProjectKeys
let tracking: Tracking
let analysis: Analysis

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-compat-'))
  service = await startService('all', { env: { ...deploymentEnv(DEPLOYMENT), TRIBUTARY_DATA_DIR: folder } })
  project = await createProject(service.url, DEPLOYMENT, 'compat')
  front = await leadHttpsTo(new URL(service.url))
  tracking = new KeenTracking({
    projectId: project.id,
    writeKey: project.write,
    host: '127.0.0.1',
    protocol: 'http',
    nodeRequestConfig: { port: Number(new URL(service.url).port) },
  })
  analysis = new KeenAnalysis({ projectId: project.id, readKey: project.read, host: HOST })
})
afterAll(async () => {
  await front.close()
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})

const count = async (collection: string): Promise<unknown> =>
  (await analysis.query({ analysisType: 'count', eventCollection: collection, timeframe: 'this_2_days' })).result

describe('keen-tracking 5.0.1', () => {
  test('recordEvent records one event', async () => {
    expect(await tracking.recordEvent('single', { user: 'bob', price: 10 })).toEqual({ created: true })
    await eventually('the event is counted', async () => (await count('single')) === 1)
  })

  test('recordEvent resolves for names that need encoding', async () => {
    expect(await tracking.recordEvent('my coll/x', { a: 1 })).toEqual({ created: true })
    await eventually('the event is counted', async () => (await count('my coll/x')) === 1)
  })

  test('recordEvents records many, and says for each whether it was', async () => {
    const answer = await tracking.recordEvents({
      bulk_a: [{ n: 1 }, { 'bad.name': 1 }],
      bulk_b: [{ n: 2 }],
    })
    expect(answer).toEqual({
      bulk_a: [
        { success: true },
        {
          success: false,
          error: { name: 'InvalidPropertyNameError', description: expect.stringContaining('Property name is invalid') },
        },
      ],
      bulk_b: [{ success: true }],
    })
    await eventually('both are counted', async () => (await count('bulk_a')) === 1 && (await count('bulk_b')) === 1)
  })

  test('deferred events arrive when the queue is sent', async () => {
    tracking.queueInterval(3600)
    tracking.deferEvent('deferred', { n: 1 })
    tracking.deferEvents({ deferred: [{ n: 2 }, { n: 3 }] })
    tracking.recordDeferredEvents()
    await eventually('three are counted', async () => (await count('deferred')) === 3)
  })

  test('a wrong key is refused with the code that the SDK shows', async () => {
    const wrong = new KeenTracking({
      projectId: project.id,
      writeKey: 'WRONG',
      host: '127.0.0.1',
      protocol: 'http',
      nodeRequestConfig: { port: Number(new URL(service.url).port) },
    })
    await expect(wrong.recordEvent('single', { a: 1 })).rejects.toMatchObject({ code: 'InvalidApiKeyError' })
  })
})

describe('keen-analysis 3.7.0', () => {
  const at = (day: number): { keen: { timestamp: string } } => ({
    keen: { timestamp: `2026-01-0${day}T10:00:00.000Z` },
  })
  beforeAll(async () => {
    await tracking.recordEvents({
      purchases: [
        { user: 'bob', price: 10, item: { name: 'cup' }, ...at(1) },
        { user: 'ted', price: 20, item: { name: 'pot' }, ...at(1) },
        { user: 'bob', price: 30, item: { name: 'pan' }, ...at(3) },
        { user: 'ann', ...at(4) },
      ],
    })
    await eventually(
      'four are counted',
      async () =>
        (await analysis.query({ analysisType: 'count', eventCollection: 'purchases', timeframe: ALL_TIME })).result ===
        4,
    )
  })
  const ask = async (analysisType: string, more: object = {}): Promise<unknown> =>
    (await analysis.query({ analysisType, eventCollection: 'purchases', timeframe: ALL_TIME, ...more })).result

  test.each([
    ['count', {}, 4],
    ['count_unique', { targetProperty: 'user' }, 3],
    ['minimum', { targetProperty: 'price' }, 10],
    ['maximum', { targetProperty: 'price' }, 30],
    ['sum', { targetProperty: 'price' }, 60],
    ['average', { targetProperty: 'price' }, 20],
    ['median', { targetProperty: 'price' }, 20],
    ['percentile', { targetProperty: 'price', percentile: 100 }, 30],
    ['standard_deviation', { targetProperty: 'price' }, expect.closeTo(Math.sqrt(200 / 3), 9)],
  ])('%s', async (analysisType, more, expected) => {
    expect(await ask(analysisType, more)).toEqual(expected)
  })

  test('select_unique', async () => {
    expect(((await ask('select_unique', { targetProperty: 'user' })) as string[]).toSorted()).toEqual([
      'ann',
      'bob',
      'ted',
    ])
  })

  test('extraction, with the properties asked for', async () => {
    expect(await ask('extraction', { propertyNames: ['user', 'item.name'], latest: 2 })).toEqual([
      { user: 'ann' },
      { user: 'bob', item: { name: 'pan' } },
    ])
  })

  test('filters', async () => {
    const filters = [{ property_name: 'price', operator: 'gte', property_value: 20 }]
    expect(await ask('count', { filters })).toBe(2)
  })

  test('group_by, order_by and limit', async () => {
    expect(
      await ask('sum', {
        targetProperty: 'price',
        groupBy: ['user'],
        orderBy: [{ property_name: 'result', direction: 'DESC' }],
        limit: 1,
      }),
    ).toEqual([{ user: 'bob', result: 40 }])
  })

  test('interval with group_by fills empty days with zero', async () => {
    const result = (await ask('count', {
      timeframe: { start: '2026-01-01T00:00:00Z', end: '2026-01-04T00:00:00Z' },
      interval: 'daily',
      groupBy: 'user',
    })) as { timeframe: { start: string }; value: { user: string; result: number }[] }[]
    expect(result.map((bucket) => bucket.timeframe.start)).toEqual([
      '2026-01-01T00:00:00.000Z',
      '2026-01-02T00:00:00.000Z',
      '2026-01-03T00:00:00.000Z',
    ])
    expect(result[1]?.value).toEqual([
      { user: 'bob', result: 0 },
      { user: 'ted', result: 0 },
    ])
  })

  test('an error of the API rejects with its code', async () => {
    await expect(ask('sum')).rejects.toMatchObject({ code: 'MissingRequiredRequestFieldError' })
  })
})
