import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTail } from '../query/tail/reader.ts'
import { call, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'

let deployment: DeploymentUnderTest
let ingest: ServiceProcess
let admin: ServiceProcess
let query: ServiceProcess
let project: ProjectKeys

describe.skipIf(kafkaMissing() !== undefined)('the live tail over Kafka, in a process of its own', () => {
  beforeAll(async () => {
    deployment = await openDeployment({ brokers: kafkaBrokers(), clickhouseUrl: clickhouseUrl(), env: {} })
    ;[ingest, admin, query] = await Promise.all([
      deployment.start('ingest'),
      deployment.start('admin'),
      deployment.start('query'),
    ])
    project = await deployment.project(admin.url)
  })
  afterAll(async () => deployment?.close())

  test('what another process records is shown to each key as far as it may see it, and nothing from before', async () => {
    const record = async (events: readonly object[]): Promise<void> => {
      await eventually('ingest takes them', async () => {
        const path = `${ingest.url}/3.0/projects/${project.id}/events`
        return (await call('POST', path, { key: project.write, body: { orders: events } })).status === 200
      })
    }
    const made = await call('POST', `${admin.url}/3.0/projects/${project.id}/keys`, {
      key: project.master,
      body: {
        name: 'ann',
        is_active: true,
        permitted: ['queries'],
        options: { queries: { filters: [{ property_name: 'who', operator: 'eq', property_value: 'ann' }] } },
      },
    })
    const { key: access } = made.body as { readonly key: string }
    await record([{ n: 0, who: 'ann' }])
    const at = { url: query.url, project }
    const open = async (key: string) =>
      eventually('the key is known there', async () => {
        const reader = await openTail(at, key)
        return reader.status === 200 ? reader : undefined
      })
    const [all, few] = [await open(project.read), await open(access)]
    await record([
      { n: 1, who: 'ann' },
      { n: 2, who: 'bob' },
      { n: 3, who: 'ann' },
    ])
    await all.until(({ events }) => events.length === 3, 'all three')
    await few.until(({ events }) => events.length === 2, 'those of the key')
    const numbers = (events: readonly Readonly<Record<string, unknown>>[]): readonly number[] =>
      events.map(({ n }) => Number(n)).toSorted((a, b) => a - b)
    expect([numbers(all.events), numbers(few.events)]).toEqual([
      [1, 2, 3],
      [1, 3],
    ])
    all.leave()
    few.leave()
  })
})
