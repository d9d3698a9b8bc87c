import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LOADER_GROUP } from '../../services/loader/worker.ts'
import { EVENTS_TOPIC } from '../../services/shared/log/topics.ts'
import { ask, call, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, launchService, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'

const ALL_TIME = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }
const ENV = {
  TRIBUTARY_EVENT_PARTITIONS: '2',
  TRIBUTARY_LOADER_BATCH_AGE_MS: '50',
  TRIBUTARY_LOG_SESSION_MS: '6000',
  TRIBUTARY_CACHED_REFRESH_MIN_S: '1',
}

let deployment: DeploymentUnderTest
let ingest: ServiceProcess
let loader: ServiceProcess
let admin: ServiceProcess
let queries: ServiceProcess[]
let project: ProjectKeys

describe.skipIf(kafkaMissing() !== undefined)('deletes over Kafka', () => {
  beforeAll(async () => {
    deployment = await openDeployment({ brokers: kafkaBrokers(), clickhouseUrl: clickhouseUrl(), env: ENV })
    ;[ingest, loader, admin, ...queries] = await Promise.all([
      deployment.start('ingest'),
      deployment.start('loader'),
      deployment.start('admin'),
      deployment.start('query'),
      deployment.start('query'),
    ])
    project = await deployment.project(admin.url)
  })
  afterAll(async () => deployment?.close())

  /** From the log's start, into a warehouse that knows nothing. */
  const readAgain = async (): Promise<ServiceProcess> => {
    for (const service of [loader, ...queries]) await service.stop()
    const prefix = deployment.env['KAFKA_TOPIC_PREFIX'] ?? ''
    const kafka = new Kafka({ brokers: [...(kafkaBrokers() ?? [])], logLevel: logLevel.NOTHING })
    const client = kafka.admin()
    await client.connect()
    const partitions = [0, 1].map((partition) => ({ partition, offset: '0' }))
    const group = { groupId: `${prefix}${LOADER_GROUP}`, topic: `${prefix}${EVENTS_TOPIC}` }
    await eventually('the group is empty', async () => {
      await client.setOffsets({ ...group, partitions })
      return true
    })
    await client.disconnect()
    const empty = new URL(deployment.env['CLICKHOUSE_URL'] ?? '')
    empty.pathname += 'again'
    const again = { CLICKHOUSE_URL: empty.href }
    const migrated = await launchService('migrate', { env: { ...deployment.env, ...again } })
    expect(await migrated.exited).toBe(0)
    await deployment.start('loader', again)
    return deployment.start('query', again)
  }

  test('what is deleted is gone from every answer, through a kill -9, and after the log was read from its start', async () => {
    const [one, two] = queries as [ServiceProcess, ServiceProcess]
    const send = async (body: object): Promise<void> => {
      await eventually('ingest takes them', async () => {
        const path = `${ingest.url}/3.0/projects/${project.id}/events`
        return (await call('POST', path, { key: project.write, body })).status === 200
      })
    }
    const at = (service: ServiceProcess, path: string): string => `${service.url}/3.0/projects/${project.id}${path}`
    const count = async (service: ServiceProcess, collection: string): Promise<unknown> =>
      ask(service.url, project.id, project.read, 'count', { event_collection: collection, timeframe: ALL_TIME })
    const values = async (service: ServiceProcess, target_property: string): Promise<unknown> =>
      ask(service.url, project.id, project.read, 'select_unique', {
        event_collection: 'people',
        timeframe: ALL_TIME,
        target_property,
      })
    const sql = async (service: ServiceProcess): Promise<unknown> => {
      const query = 'SELECT who, secret FROM people ORDER BY n'
      const { body } = await call('POST', at(service, '/queries/sql'), { key: project.read, body: { query } })
      return (body as { readonly result: unknown }).result
    }
    const remove = async (service: ServiceProcess, path: string): Promise<string> => {
      const answer = await fetch(at(service, path), { method: 'DELETE', headers: { authorization: project.master } })
      expect(answer.status).toBe(204)
      return String(answer.headers.get('location'))
    }
    await send({
      people: [
        { who: 'ann', secret: 'a', n: 1 },
        { who: 'bob', secret: 'b', n: 2 },
        { who: 'eve', secret: 'e', n: 3 },
      ],
      doomed: [{ a: 1 }, { a: 2 }],
      kept: [{ a: 1 }],
    })
    await eventually('they are loaded', async () => (await count(one, 'people').catch(() => 0)) === 3)
    await eventually('these too', async () => (await count(one, 'doomed').catch(() => 0)) === 2)
    const query = { analysis_type: 'count', event_collection: 'people', timeframe: ALL_TIME }
    const saved = { query, refresh_rate: 2 }
    expect((await call('PUT', at(one, '/queries/saved/people'), { key: project.master, body: saved })).status).toBe(201)
    const cached = async (service: ServiceProcess): Promise<unknown> => {
      const { body } = await call('GET', at(service, '/queries/saved/people/result'), { key: project.read })
      return (body as { readonly result: unknown }).result
    }
    await eventually('it is stored', async () => (await cached(two)) === 3)

    const who = `filters=${encodeURIComponent(JSON.stringify([{ property_name: 'who', operator: 'eq', property_value: 'ann' }]))}`
    const locations = [
      await remove(one, `/events/people?${who}`),
      await remove(one, '/events/people/properties/secret'),
      await remove(one, '/events/doomed'),
    ]
    // At once in the process that was asked, within a moment in the other one.
    expect([await count(one, 'people'), await cached(one), await count(one, 'doomed')]).toEqual([2, 2, 0])
    await eventually('the other process knows', async () => (await count(two, 'people')) === 2)
    expect([await cached(two), await values(two, 'secret')]).toEqual([2, []])
    await one.kill()
    await new Promise((resolve) => setTimeout(resolve, 5)) // the clock must have moved on
    await send({ people: [{ who: 'ann', secret: 'new', n: 4 }] })
    await eventually(
      'the other process carries them out',
      async () => {
        const states = await Promise.all(
          locations.map(async (location) => call('GET', `${two.url}${location}`, { key: project.master })),
        )
        return states.every(({ body }) => (body as { readonly state: string }).state === 'done')
      },
      90_000,
    )
    const expected = [
      { who: 'bob', secret: null },
      { who: 'eve', secret: null },
      { who: 'ann', secret: 'new' },
    ]
    await eventually('what came later is there', async () => (await count(two, 'people')) === 3)
    expect(await sql(two)).toEqual(expected)

    queries = [two]
    const again = await readAgain()
    await eventually('the log is read again', async () => (await count(again, 'kept').catch(() => 0)) === 1, 60_000)
    await eventually('what came later is there again', async () => (await count(again, 'people').catch(() => 0)) === 3)
    expect(await sql(again)).toEqual(expected)
    expect([await values(again, 'who'), await values(again, 'secret')]).toEqual([['ann', 'bob', 'eve'], ['new']])
    const doomed = await call('GET', at(again, '/queries/count?event_collection=doomed&timeframe=this_1_days'), {
      key: project.read,
    })
    expect(doomed.status).toBe(404)
  })
})
