import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LOADER_GROUP } from '../../services/loader/worker.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import { EVENTS_TOPIC } from '../../services/shared/log/topics.ts'
import { ask, call, createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../support/api.ts'
import { eventually, type ServiceProcess, startService } from '../support/processes.ts'

/** One process with everything in it, on the embedded log and warehouse. */
const PARTITIONS = 2
const ALL_TIME = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }
let folder: string
let service: ServiceProcess
let project: ProjectKeys

const start = async (): Promise<ServiceProcess> =>
  startService('all', {
    env: {
      ...deploymentEnv(DEPLOYMENT),
      TRIBUTARY_DATA_DIR: folder,
      TRIBUTARY_EVENT_PARTITIONS: String(PARTITIONS),
      TRIBUTARY_LOADER_BATCH_AGE_MS: '50',
    },
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-deletes-'))
  service = await start()
  project = await createProject(service.url, DEPLOYMENT, 'deletes')
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})

const at = (path: string): string => `${service.url}/3.0/projects/${project.id}${path}`
const send = async (body: Record<string, readonly unknown[]>): Promise<void> => {
  expect((await call('POST', at('/events'), { key: project.write, body })).status).toBe(200)
}
const count = async (collection: string, more: object = {}): Promise<unknown> =>
  ask(service.url, project.id, project.read, 'count', { event_collection: collection, timeframe: ALL_TIME, ...more })
const values = async (collection: string, target_property: string): Promise<unknown> =>
  ask(service.url, project.id, project.read, 'select_unique', {
    event_collection: collection,
    timeframe: ALL_TIME,
    target_property,
  })
const remove = async (path: string): Promise<string> => {
  const answer = await fetch(at(path), { method: 'DELETE', headers: { authorization: project.master } })
  expect(answer.status).toBe(204)
  return String(answer.headers.get('location'))
}
const isDone = async (location: string): Promise<boolean> => {
  const { body } = await call('GET', `${service.url}${location}`, { key: project.master })
  return (body as { state: string }).state === 'done'
}
const who = (name: string): string =>
  `filters=${encodeURIComponent(JSON.stringify([{ property_name: 'who', operator: 'eq', property_value: name }]))}`

/** Everything read anew from the log's start, into a warehouse that knows nothing. */
const readAgain = async (): Promise<void> => {
  await service.stop()
  const log = await openLmdbLog({ folder: join(folder, 'log') })
  const stop = new AbortController()
  let reset = 0
  await log.consume({ topic: EVENTS_TOPIC, group: LOADER_GROUP, signal: stop.signal }, async (claim) => {
    await claim.commit(0n)
    if (++reset === PARTITIONS) stop.abort()
  })
  const committed = await log.committed(EVENTS_TOPIC, LOADER_GROUP)
  expect([...committed.values()].map(({ offset }) => offset)).toEqual(Array(PARTITIONS).fill(0n))
  await log.close()
  await rm(join(folder, 'warehouse'), { recursive: true, force: true })
  service = await start()
}

const whatIsThere = async () => ({
  people: await count('people'),
  who: await values('people', 'who'),
  secrets: await values('people', 'secret'),
  doomed: await count('doomed', {}).catch(() => 'no such collection'),
  flowing: await values('flowing', 'phase'),
})

test('what is deleted while events flow is gone at once, and does not come back from the log', async () => {
  await send({
    people: [
      { who: 'ann', secret: 'a', n: 1 },
      { who: 'bob', secret: 'b', n: 2 },
      { who: 'eve', secret: 'e', n: 3 },
    ],
    doomed: [{ a: 1 }, { a: 2 }],
    kept: [{ a: 1 }],
  })
  await eventually('they are loaded', async () => (await count('people')) === 3 && (await count('doomed')) === 2)

  // Events flow all the while; those that were acknowledged before the delete go, also when they are not loaded yet.
  const stopped = new AbortController()
  const flow = (async () => {
    while (!stopped.signal.aborted) await send({ flowing: [{ phase: 'before' }], kept: [{ a: 2 }] })
  })()
  await eventually('some flow', async () => ((await count('flowing')) as number) > 5)
  stopped.abort()
  await flow
  await send({ flowing: Array.from({ length: 500 }, () => ({ phase: 'before' })) })
  const kept = eventually('kept are loaded', async () => (await count('kept')) as number)
  const locations = [
    await remove('/events/flowing'),
    await remove(`/events/people?${who('ann')}`),
    await remove('/events/people/properties/secret'),
    await remove('/events/doomed'),
  ]
  expect(await count('people')).toBe(2)
  expect(await values('people', 'who')).toEqual(['bob', 'eve'])
  expect(await values('people', 'secret')).toEqual([])
  expect(await count('doomed')).toBe(0)
  expect(await count('flowing')).toBe(0)
  await new Promise((resolve) => setTimeout(resolve, 5)) // the clock must have moved on
  await send({ people: [{ who: 'ann', secret: 'new', n: 4 }], flowing: [{ phase: 'after' }] })

  const expected = {
    people: 3,
    who: ['ann', 'bob', 'eve'],
    secrets: ['new'],
    doomed: 'no such collection',
    flowing: ['after'],
  }
  await eventually('all are carried out', async () => (await Promise.all(locations.map(isDone))).every(Boolean))
  await eventually('later events are there', async () => (await count('people')) === 3)
  expect({ ...(await whatIsThere()), doomed: expected.doomed }).toEqual(expected)
  expect(((await service.metrics()).get('deletions_total{outcome="done"}') ?? 0) > 0).toBe(true)

  const keptBefore = await kept
  await readAgain()
  await eventually('the log is read again', async () => ((await count('kept')) as number) >= keptBefore)
  await eventually('later events are there again', async () => (await count('people')) === 3)
  expect(await whatIsThere()).toEqual(expected)
  const metrics = await service.metrics()
  expect(metrics.get('loader_events_erased_total')).toBeGreaterThan(500)
  expect(metrics.get('loader_lag_events')).toBe(0)
})
