import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask, type ProjectKeys } from '../support/api.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { producedEvent, startProducer } from '../support/producer.ts'
import { clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'

/** Rounds of kill -9 a log; each ends one loader and one ingest process under load. */
const ROUNDS = Number(process.env['TRIBUTARY_TEST_CRASH_ROUNDS'] ?? 20)
/** Partitions that a loader holds. */
const heldBy = async (loader: ServiceProcess): Promise<number> =>
  [...(await loader.metrics()).keys()].filter((name) => name.startsWith('loader_lag_events{')).length

const ALL_TIME = { start: '2000-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }
/** Short, so that a dead loader's partitions are soon another's, and a frozen one is soon taken for dead. */
const SESSION_MS = 6_000

const logs = [
  { log: 'Kafka', brokers: () => kafkaBrokers(), missing: kafkaMissing },
  { log: 'the embedded log', brokers: () => undefined, missing: () => undefined },
]

describe.for(logs)('on $log', ({ log, brokers, missing }) => {
  describe.skipIf(missing() !== undefined)('with real processes', () => {
    let deployment: DeploymentUnderTest
    let admin: ServiceProcess
    let query: ServiceProcess
    let project: ProjectKeys

    beforeAll(async () => {
      deployment = await openDeployment({
        brokers: brokers(),
        clickhouseUrl: clickhouseUrl(),
        env: {
          TRIBUTARY_LOG_SESSION_MS: String(SESSION_MS),
          TRIBUTARY_LOADER_BATCH_AGE_MS: '20',
          TRIBUTARY_EVENT_PARTITIONS: '4',
        },
      })
      admin = await deployment.start('admin')
      query = await deployment.start('query')
      project = await deployment.project(admin.url)
    })
    afterAll(async () => {
      await deployment.close()
    })

    const count = async (collection: string): Promise<number> =>
      (await ask(query.url, project.id, project.read, 'count', {
        event_collection: collection,
        timeframe: ALL_TIME,
      })) as number

    /** Every acknowledged event is there once, unchanged, and nothing else is. */
    const settle = async (collection: string, owed: ReadonlySet<number>): Promise<void> => {
      await eventually(
        `${owed.size} events of ${collection} are counted`,
        async () => (await count(collection)) >= owed.size,
        120_000,
      )
      const rows = (await ask(query.url, project.id, project.read, 'extraction', {
        event_collection: collection,
        timeframe: ALL_TIME,
        property_names: ['n', 'parity', 'weight', 'producer'],
      })) as { n: number; producer: string }[]
      expect(await count(collection)).toBe(owed.size)
      expect(rows.map((row) => row.n).toSorted((a, b) => a - b)).toEqual([...owed].toSorted((a, b) => a - b))
      for (const row of rows) {
        const { keen: _, ...sent } = producedEvent(row.producer, row.n)
        expect(row).toEqual(sent)
      }
    }

    test(`${ROUNDS} rounds of kill -9 on ingest and loader under load: every acknowledged event is counted once, no other is`, {
      timeout: 600_000,
    }, async () => {
      const ingests = [await deployment.start('ingest'), await deployment.start('ingest')]
      const loaders = [await deployment.start('loader'), await deployment.start('loader')]
      const producer = startProducer({
        urls: () => ingests.map((ingest) => ingest.url),
        project: project.id,
        key: project.write,
        collection: 'crash',
        batch: 20,
        lanes: 4,
        pauseMs: 150,
      })
      let kills = 0
      let replays = 0
      const replaysOf = async (loader: ServiceProcess): Promise<number> =>
        (await loader.metrics()).get('loader_replays_total') ?? 0
      for (let round = 0; round < ROUNDS; round += 1) {
        const at = round % 2
        const [ingest, loader] = [ingests[at], loaders[at]]
        if (ingest === undefined || loader === undefined) throw new Error('unreachable')
        // A loader without a partition has nothing to lose.
        await eventually('the loader to be killed holds a partition', async () => (await heldBy(loader)) > 0)
        // Not the same moment of a batch's life each time.
        await new Promise((resolve) => setTimeout(resolve, 100 + ((round * 373) % 700)))
        replays += await replaysOf(loader)
        await Promise.all([ingest.kill(), loader.kill()])
        kills += 2
        const [newIngest, newLoader] = await Promise.all([deployment.restart(ingest), deployment.restart(loader)])
        ingests[at] = newIngest
        loaders[at] = newLoader
      }
      await producer.finish()
      await settle('crash', producer.acknowledged)
      for (const loader of loaders) replays += await replaysOf(loader)
      for (const service of [...ingests, ...loaders]) expect(await service.stop()).toBe(0)
      process.stdout.write(
        `crash test on ${log}: ${kills} kills, ${replays} ranges replayed, ${producer.resent} batches sent again, ` +
          `${producer.acknowledged.size} events\n`,
      )
      expect(kills).toBe(2 * ROUNDS)
      expect(replays).toBeGreaterThan(0)
      expect(producer.acknowledged.size).toBeGreaterThan(1000)
    })

    test('a loader frozen past its session timeout and thawed neither loses nor doubles an event', {
      timeout: 300_000,
    }, async () => {
      const ingest = await deployment.start('ingest')
      const [frozen, other] = await Promise.all([deployment.start('loader'), deployment.start('loader')])
      const producer = startProducer({
        urls: () => [ingest.url],
        project: project.id,
        key: project.write,
        collection: 'frozen',
        batch: 20,
        lanes: 4,
        pauseMs: 50,
      })
      await eventually('the loaders are at work', async () => (await count('frozen')) > 0)
      const tookAll = async (): Promise<boolean> => (await heldBy(other)) === 4
      // Stopped in the middle of a write to the embedded log, a process holds the log's lock, and everybody waits for it
      // and not only for its session to end. Then it has to be stopped at another moment.
      for (let attempt = 0; ; attempt += 1) {
        frozen.signal('SIGSTOP')
        const taken = await eventually('the other loader has all partitions', tookAll, 4 * SESSION_MS).catch(
          () => false,
        )
        if (taken) break
        expect(attempt).toBeLessThan(5)
        frozen.signal('SIGCONT')
        await new Promise((resolve) => setTimeout(resolve, 500 + attempt * 137))
      }
      const before = await count('frozen')
      await eventually('the other loader goes on alone', async () => (await count('frozen')) > before)
      frozen.signal('SIGCONT')
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      await producer.finish()
      await settle('frozen', producer.acknowledged)
      expect(await ingest.stop()).toBe(0)
      expect(await other.stop()).toBe(0)
      await frozen.stop()
    })
  })
})
