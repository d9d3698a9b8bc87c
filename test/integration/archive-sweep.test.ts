import { ListMultipartUploadsCommand, type S3Client } from '@aws-sdk/client-s3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archiveSweep } from '../../services/commands/open/archive.ts'
import { runSweeps, type SweepArchive } from '../../services/exporter/sweep/worker.ts'
import { createS3Client } from '../../services/shared/bucket/s3/client.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../services/shared/log/port.ts'
import { topicSpecs } from '../../services/shared/log/topics.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { startBucketProxy } from '../support/bucket-proxy.ts'
import { makeS3Bucket, s3SettingsOf } from '../support/buckets.ts'
import { openDeployment } from '../support/deployment.ts'
import { eventually, launchService } from '../support/processes.ts'
import { bucketServers, bucketsMissing, clickhouseUrl } from '../support/servers.ts'

const missing = bucketsMissing()
const DAY_MS = 86_400_000
const PREFIXES = ['events/', 'manifests/', 'repeats/', 'deliveries/', 'compaction/']

describe.skipIf(missing !== undefined)(
  `what broken uploads leave in the archive${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-sweep-'))
    let logs: EventLog[]
    let bucket: string
    let client: S3Client
    beforeAll(async () => {
      const times = { sessionTimeoutMs: 2_000, handoverTimeoutMs: 1_000 }
      const log = await openLmdbLog({ folder: join(folder, 'log'), ...times })
      logs = [log, await openLmdbLog({ folder: join(folder, 'log'), ...times })]
      await log.ensureTopics(topicSpecs({ eventPartitions: 1, retentionMs: 1e12, retentionBytes: 1e12 }))
      bucket = await makeS3Bucket()
      client = createS3Client(s3SettingsOf(bucket))
    })
    afterAll(async () => {
      client.destroy()
      for (const log of logs) await log.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const left = async (): Promise<string[]> => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      return Uploads.map(({ Key = '' }) => Key).toSorted()
    }

    /** An upload whose process is killed when two parts are there. */
    async function breakOff(key: string): Promise<void> {
      const proxy = await startBucketProxy(bucketServers().s3)
      const program = fileURLToPath(new URL('../support/endless-upload.ts', import.meta.url))
      const child = spawn(process.execPath, [program, bucket, proxy.url, key], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      while (proxy.seen('part') < 2 && child.exitCode === null) await sleep(20)
      child.kill('SIGKILL')
      if (child.signalCode === null) await once(child, 'exit')
      await proxy.stop()
    }

    const sweepOf = (name: string): SweepArchive => {
      const sweep = archiveSweep({ kind: 's3', settings: s3SettingsOf(name), prefix: 'raw/' })
      if (sweep === undefined) throw new Error('nothing sweeps S3')
      return sweep
    }

    /** A process that sweeps, `aheadMs` in the future. */
    function sweeper(log: EventLog, sweep: SweepArchive) {
      const registry = new Registry()
      const stop = new AbortController()
      const clock = { aheadMs: 0 }
      const asked: string[] = []
      const warnings: string[] = []
      const running = runSweeps(
        {
          log,
          registry,
          logger: { info: () => undefined, warn: (_fields: unknown, says?: string) => warnings.push(says ?? '') },
          now: () => Date.now() + clock.aheadMs,
          sweep: async (prefix, before, signal) => {
            asked.push(prefix)
            return sweep(prefix, before, signal)
          },
        },
        stop.signal,
      )
      const counted = async (name: string) =>
        (await registry.getSingleMetric(`archive_${name}_total`)?.get())?.values.map(({ labels, value }) => ({
          ...labels,
          value,
        }))
      const end = async (): Promise<void> => {
        stop.abort()
        await running
      }
      return { asked, clock, warnings, counted, end }
    }

    test('is removed by one process, when it is a day old, of keys that the archive writes alone', async () => {
      const others = ['other/events/x', 'raw/notes/x']
      for (const key of ['raw/events/x', ...others]) await breakOff(key)
      const atOnce = { now: 0, most: 0 }
      const sweep = sweepOf(bucket)
      const two = logs.map((log) =>
        sweeper(log, async (...asked) => {
          atOnce.now += 1
          atOnce.most = Math.max(atOnce.most, atOnce.now)
          try {
            return await sweep(...asked)
          } finally {
            atOnce.now -= 1
          }
        }),
      )
      const asked = (): string[] => two.flatMap((one) => one.asked)
      await eventually('somebody looked', async () => asked().length >= PREFIXES.length)
      await sleep(4_000) // the share may go to the one that came later
      const before = asked().length
      await sleep(2_500)
      expect(asked()).toHaveLength(before) // not before a day has passed
      expect(await left()).toEqual([...others, 'raw/events/x'].toSorted())
      for (const { clock } of two) clock.aheadMs = DAY_MS + 60_000
      await eventually('a day later, it is swept', async () => asked().length >= before + PREFIXES.length)
      await Promise.all(two.map(({ end }) => end()))
      expect(atOnce.most).toBe(1)
      expect(await left()).toEqual(others)
      const counts = (await Promise.all(two.map(({ counted }) => counted('uploads_swept')))).flat()
      expect(counts.reduce((sum, one) => sum + (one?.value ?? 0), 0)).toBe(1)
    })

    test('stays when the bucket refuses: that is told, counted, and ends nothing', async () => {
      const [log] = logs
      if (log === undefined) throw new Error('no log')
      const one = sweeper(log, sweepOf('tributary-not-there'))
      await eventually('it was refused', async () => one.warnings.length === 1)
      expect(await one.counted('sweep_failures')).toEqual([{ reason: 'no_bucket', value: 1 }])
      one.clock.aheadMs = DAY_MS + 1
      await eventually('it is tried again the next day', async () => one.warnings.length === 2)
      await one.end()
    })

    test('is looked for by a process of deliveries, under the archive’s own prefix', async () => {
      const asked: string[] = []
      const server = createServer((from, to) => {
        const { searchParams } = new URL(from.url ?? '', 'http://localhost')
        if (searchParams.has('uploads')) asked.push(searchParams.get('prefix') ?? '')
        const list = searchParams.has('uploads') ? 'ListMultipartUploadsResult' : 'ListBucketResult'
        from.resume().once('end', () => to.end(`<${list}><IsTruncated>false</IsTruncated></${list}>`))
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const deployment = await openDeployment({ brokers: undefined, clickhouseUrl: clickhouseUrl() })
      try {
        const deliveries = await launchService('deliveries', {
          env: {
            ...deployment.env,
            TRIBUTARY_ARCHIVE: 's3://any/raw',
            TRIBUTARY_ARCHIVE_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
            TRIBUTARY_ARCHIVE_S3_PATH_STYLE: 'true',
            TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: S3_USER.accessKeyId,
            TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: S3_USER.secretAccessKey,
          },
        })
        await eventually('it looked', async () => asked.length >= PREFIXES.length)
        expect(asked).toEqual(PREFIXES.map((prefix) => `raw/${prefix}`))
        expect((await deliveries.metrics()).get('archive_uploads_swept_total')).toBe(0)
        expect(await deliveries.stop()).toBe(0)
      } finally {
        await deployment.close()
        server.closeAllConnections()
        server.close()
      }
    })
  },
)
