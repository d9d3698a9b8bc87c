import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../services/shared/log/kafka/open.ts'
import { EVENTS_TOPIC } from '../../services/shared/log/topics.ts'
import { ask, call, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'

/** Ingest, Kafka, loader, ClickHouse, query and admin: each a process of its own. */
let deployment: DeploymentUnderTest
let ingest: ServiceProcess
let loader: ServiceProcess
let query: ServiceProcess
let admin: ServiceProcess
let project: ProjectKeys

const ALL_TIME = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }

describe.skipIf(kafkaMissing() !== undefined)('on Kafka', () => {
  beforeAll(async () => {
    deployment = await openDeployment({ brokers: kafkaBrokers(), clickhouseUrl: clickhouseUrl() })
    const started = await Promise.all([
      deployment.start('ingest'),
      deployment.start('loader'),
      deployment.start('query'),
      deployment.start('admin'),
    ])
    ;[ingest, loader, query, admin] = started
    project = await deployment.project(admin.url)
  })
  afterAll(async () => {
    await deployment.close()
  })

  const record = async (key: string, body: unknown): Promise<{ status: number; body: unknown }> => {
    const sent = await eventually('ingest knows the project', async () => {
      const answer = await call('POST', `${ingest.url}/3.0/projects/${project.id}/events`, { key, body })
      return answer.status === 404 || answer.status === 401 ? undefined : answer
    })
    return sent
  }
  const asked = async (key: string, analysis: string, more: Record<string, unknown>): Promise<unknown> =>
    ask(query.url, project.id, key, analysis, { timeframe: ALL_TIME, ...more })

  test('an event sent with a write key is counted under a read key', async () => {
    const { status, body } = await record(project.write, { visits: [{ page: '/a' }, { page: '/b' }] })
    expect({ status, body }).toEqual({ status: 200, body: { visits: [{ success: true }, { success: true }] } })
    await eventually('both are counted', async () => {
      return (await asked(project.read, 'count', { event_collection: 'visits' })) === 2
    })
  })

  test('an access key shows one customer’s rows, and writes only as that customer', async () => {
    const made = await call('POST', `${admin.url}/3.0/projects/${project.id}/keys`, {
      key: project.master,
      body: {
        name: 'customer 1',
        is_active: true,
        permitted: ['writes', 'queries'],
        options: {
          writes: { autofill: { customer: { id: 1 } } },
          queries: { filters: [{ property_name: 'customer.id', operator: 'eq', property_value: 1 }] },
        },
      },
    })
    const { key } = made.body as { key: string }
    await record(project.write, { orders: [{ customer: { id: 1 } }, { customer: { id: 2 } }] })
    await record(key, { orders: [{ customer: { id: 2 }, forged: true }] })
    await eventually('three are counted under the read key', async () => {
      return (await asked(project.read, 'count', { event_collection: 'orders' })) === 3
    })
    expect(await asked(key, 'count', { event_collection: 'orders' })).toBe(2)
    expect(await asked(key, 'select_unique', { event_collection: 'orders', target_property: 'customer.id' })).toEqual([
      1,
    ])
    const rows = (await asked(key, 'extraction', { event_collection: 'orders' })) as { customer: { id: number } }[]
    expect(rows.map((row) => row.customer.id)).toEqual([1, 1])
  })

  test('what was received is stored, refused, dropped as a repeat or dead-lettered, and the counters add up', async () => {
    const metrics = async (): Promise<{ received: number; stopped: Record<string, number>; lag: number }> => {
      const [front, back] = await Promise.all([ingest.metrics(), loader.metrics()])
      const get = (map: ReadonlyMap<string, number>, name: string): number => map.get(name) ?? 0
      return {
        received: get(front, 'ingest_events_received_total'),
        stopped: {
          rejected: get(front, 'ingest_events_rejected_total'),
          stored: get(back, 'loader_events_stored_total'),
          repeated: get(back, 'loader_events_repeated_total'),
          deadLettered: get(back, 'loader_events_dead_lettered_total'),
        },
        lag: get(back, 'loader_lag_events'),
      }
    }
    const settled = async (): ReturnType<typeof metrics> =>
      eventually('nothing is in flight', async () => {
        const now = await metrics()
        const sum = Object.values(now.stopped).reduce((a, b) => a + b, 0)
        return sum >= now.received && now.lag === 0 ? now : undefined
      })
    const before = await settled()

    await record(project.write, {
      sums: [
        { n: 1, keen: { uniqueness_token: 'once' } },
        { n: 2, keen: { uniqueness_token: 'once' } },
        { 'not.a.name': 1 },
        { n: 3 },
      ],
    })
    await record(project.write, { sums: [{ n: 4, keen: { uniqueness_token: 'once' } }], 'a\nname': [{ n: 5 }] })
    // Something that no ingest of ours wrote.
    const prefix = deployment.env['KAFKA_TOPIC_PREFIX'] ?? ''
    const log = await openKafkaLog({ brokers: kafkaBrokers(), clientId: 'vandal', logger: { warn: () => {} } })
    await log.append(`${prefix}${EVENTS_TOPIC}`, [{ partition: 0, key: null, value: Buffer.from('not an event') }])
    await log.close()

    const after = await eventually('the dead letter is counted', async () => {
      const now = await settled()
      return now.stopped['deadLettered'] === (before.stopped['deadLettered'] ?? 0) + 1 ? now : undefined
    })
    const grown = (name: string): number => (after.stopped[name] ?? 0) - (before.stopped[name] ?? 0)
    expect(after.received - before.received).toBe(6)
    expect({
      rejected: grown('rejected'),
      stored: grown('stored'),
      repeated: grown('repeated'),
      deadLettered: grown('deadLettered'),
    }).toEqual({ rejected: 2, stored: 2, repeated: 2, deadLettered: 1 })
    expect(await asked(project.read, 'select_unique', { event_collection: 'sums', target_property: 'n' })).toEqual([
      1, 3,
    ])
  })

  test('a repeat is dropped also after the loader was started anew', async () => {
    await record(project.write, { again: [{ n: 1, keen: { uniqueness_token: 'same' } }] })
    await eventually('it is counted', async () => {
      return (await asked(project.read, 'count', { event_collection: 'again' })) === 1
    })
    expect(await loader.stop()).toBe(0)
    loader = await deployment.start('loader')
    await record(project.write, { again: [{ n: 2, keen: { uniqueness_token: 'same' } }, { n: 3 }] })
    await eventually('the other one is counted', async () => {
      return (await asked(project.read, 'count', { event_collection: 'again' })) === 2
    })
    const values = await asked(project.read, 'select_unique', { event_collection: 'again', target_property: 'n' })
    expect(values).toEqual([1, 3])
  })

  test('SIGTERM drains: what was acknowledged before it is there, and the process ends with 0', async () => {
    const events = `${ingest.url}/3.0/projects/${project.id}/events`
    const sends = Array.from({ length: 20 }, async (_, n) =>
      call('POST', events, { key: project.write, body: { drained: [{ n }] } }),
    )
    await sends[0]
    const stopped = ingest.stop()
    const answers = await Promise.allSettled(sends)
    expect(await stopped).toBe(0)
    const acknowledged = answers.filter((answer) => answer.status === 'fulfilled' && answer.value.status === 200).length
    ingest = await deployment.restart(ingest)
    await eventually('all acknowledged are counted', async () => {
      return ((await asked(project.read, 'count', { event_collection: 'drained' })) as number) >= acknowledged
    })
    expect(acknowledged).toBeGreaterThan(0)
  })

  test('every process says that it lives, that it is ready, and what it counts', async () => {
    for (const service of [ingest, loader, query, admin]) {
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200)
      expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
      expect((await service.metrics()).get('process_cpu_seconds_total')).toBeGreaterThan(0)
    }
  })

  test('no key and no event body stands in any log line', async () => {
    for (const service of [ingest, loader, query, admin]) {
      const output = service.output()
      for (const secret of [project.master, project.write, project.read, 'uniqueness_token', 'forged']) {
        expect(output).not.toContain(secret)
      }
    }
  })
})
