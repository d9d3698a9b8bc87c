import { ListMultipartUploadsCommand, type S3Client } from '@aws-sdk/client-s3'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bodyOf } from '../../services/shared/bucket/body.ts'
import { createS3Client } from '../../services/shared/bucket/s3/client.ts'
import { openS3Bucket } from '../../services/shared/bucket/s3/open.ts'
import { sweepUploads } from '../../services/shared/bucket/s3/sweep.ts'
import { type BucketProxy, startBucketProxy } from '../support/bucket-proxy.ts'
import { makeS3Bucket, s3SettingsOf } from '../support/buckets.ts'
import { bucketServers, bucketsMissing } from '../support/servers.ts'

const missing = bucketsMissing()
const signal = AbortSignal.timeout(600_000)
const MIB = 1024 * 1024

describe.skipIf(missing !== undefined)(
  `uploads of parts to a real S3 server${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let name: string
    let client: S3Client
    let proxy: BucketProxy
    beforeAll(async () => {
      name = await makeS3Bucket()
      client = createS3Client(s3SettingsOf(name))
      proxy = await startBucketProxy(bucketServers().s3)
    })
    afterAll(async () => {
      client.destroy()
      await proxy.stop()
    })
    const left = async (prefix: string): Promise<string[]> => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: name, Prefix: prefix }))
      return Uploads.map(({ Key = '' }) => Key)
    }

    it.each(['part', 'complete'] as const)('leave no parts behind when %s fails for good', async (step) => {
      const key = `failing/${step}`
      const bucket = openS3Bucket(s3SettingsOf(name, proxy.url))
      proxy.on({ step, fault: 'forbidden', keys: (one) => one === key })
      const options = { contentType: 'text/plain', signal }
      await expect(bucket.put(key, bodyOf(randomBytes(11 * MIB)), options)).rejects.toMatchObject({
        code: 'BUCKET_REFUSED',
      })
      expect(proxy.injected(step, 'forbidden')).toBeGreaterThan(0)
      expect(proxy.seen('abort')).toBeGreaterThan(0)
      expect(await left('failing/')).toEqual([])
      proxy.off()
      await bucket.close()
    })

    it('do not go on with the rest of a file once a part has failed', async () => {
      const bucket = openS3Bucket({ ...s3SettingsOf(name, proxy.url), attempts: 1 })
      const before = proxy.seen('part')
      proxy.on({ step: 'part', fault: 'forbidden', times: 1 })
      const options = { contentType: 'text/plain', signal }
      await expect(bucket.put('long', bodyOf(Buffer.alloc(60 * MIB)), options)).rejects.toMatchObject({
        code: 'BUCKET_REFUSED',
      })
      expect(proxy.seen('part') - before).toBeLessThanOrEqual(3)
      expect(await left('long')).toEqual([])
      proxy.off()
      await bucket.close()
    })

    it('are swept away when their process died in the middle, once they are old enough', async () => {
      const program = fileURLToPath(new URL('../support/endless-upload.ts', import.meta.url))
      for (const key of ['swept/a', 'swept/b', 'kept/c']) {
        const before = proxy.seen('part')
        const child = spawn(process.execPath, [program, name, proxy.url, key], {
          stdio: ['ignore', 'ignore', 'inherit'],
        })
        while (proxy.seen('part') < before + 2 && child.exitCode === null) await sleep(20)
        child.kill('SIGKILL')
        if (child.signalCode === null) await once(child, 'exit')
        expect(child.signalCode).toBe('SIGKILL')
      }
      expect(await left('')).toEqual(['kept/c', 'swept/a', 'swept/b'])
      const sweep = { bucket: name, prefix: 'swept/', signal }
      const dayAgo = new Date(Date.now() - 86_400_000)
      expect(await sweepUploads(client, { ...sweep, before: dayAgo })).toBe(0)
      expect(await left('')).toEqual(['kept/c', 'swept/a', 'swept/b'])
      const soon = new Date(Date.now() + 60_000)
      expect(await sweepUploads(client, { ...sweep, before: soon })).toBe(2)
      expect(await left('')).toEqual(['kept/c'])
      await expect(
        sweepUploads(client, { ...sweep, bucket: 'tributary-not-there', before: soon }),
      ).rejects.toMatchObject({
        code: 'BUCKET_REFUSED',
        details: { reason: 'no_bucket' },
      })
    })
  },
)
