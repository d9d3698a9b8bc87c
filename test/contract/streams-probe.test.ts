import { beforeAll, describe, expect, test } from 'vitest'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { createProber } from '../../services/shared/streams/probe.ts'
import type { ProjectKeys } from '../support/api.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { gcsBucketNamed, makeGcsBucket, makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { type Method, openTestAdmin, type OpenedAdmin, type Sent } from '../support/open-admin.ts'
import { bucketServers, bucketsMissing } from '../support/servers.ts'
import { SERVICE_ACCOUNT } from '../support/stream-bodies.ts'
import { streamSettings } from '../support/streams.ts'

const missing = bucketsMissing()
const USER = { kind: 'static', access_key_id: S3_USER.accessKeyId, secret_access_key: S3_USER.secretAccessKey } as const

describe.skipIf(missing !== undefined)(
  `a stream’s destination on real servers${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let admin: OpenedAdmin
    let project: ProjectKeys
    beforeAll(async () => {
      const hosts = Object.values({ s3: bucketServers().s3, gcs: bucketServers().gcs }).map((url) => new URL(url).host)
      admin = await openTestAdmin({ streams: { settings: streamSettings(hosts.join()), probe: createProber() } })
      project = await admin.createProject()
    })
    const send = (method: Method, path: string, body?: unknown): Promise<Sent> =>
      admin.send(method, `/3.0/projects/${project.id}/streams${path}`, { key: project.master, body })
    const s3 = (bucket: string, credentials: object = USER) => ({
      destination: { kind: 's3', bucket, region: 'us-east-1', endpoint: bucketServers().s3, credentials },
      format: 'avro',
      collections: ['a b'],
    })
    const gcs = (bucket: string) => ({
      destination: { kind: 'gcs', bucket, endpoint: bucketServers().gcs, credentials: SERVICE_ACCOUNT },
      format: 'avro',
    })
    const keysOf = async (bucket: Bucket): Promise<readonly string[]> => {
      const keys: string[] = []
      for await (const { key } of bucket.list('', { signal: AbortSignal.timeout(10_000) })) keys.push(key)
      await bucket.close()
      return keys
    }

    test('S3: what it may write passes, and nothing is left', async () => {
      const name = await makeS3Bucket()
      expect(await send('PUT', '/s3', s3(name))).toMatchObject({ status: 201 })
      expect(await send('POST', '/s3/test')).toMatchObject({ status: 200, body: { ok: true } })
      expect(await keysOf(s3BucketNamed(name))).toEqual([])
    })

    test('Cloud Storage: the same', async () => {
      const name = await makeGcsBucket()
      expect(await send('PUT', '/gcs', gcs(name))).toMatchObject({ status: 201 })
      expect(await send('POST', '/gcs/test')).toMatchObject({ status: 200, body: { ok: true } })
      expect(await keysOf(gcsBucketNamed(name))).toEqual([])
    })

    test('no bucket, wrong credentials and nobody there are told apart', async () => {
      const name = await makeS3Bucket()
      const wrongSecret = { ...USER, secret_access_key: 'another-secret-another-secret' }
      const unknownUser = { ...USER, access_key_id: 'nobody-here' }
      const cases: readonly (readonly [string, object, string])[] = [
        ['no-s3-bucket', s3('tributary-not-there'), 'no_bucket'],
        ['no-gcs-bucket', gcs('tributary-not-there'), 'no_bucket'],
        ['wrong-secret', s3(name, wrongSecret), 'credentials'],
        ['unknown-user', s3(name, unknownUser), 'credentials'],
      ]
      for (const [stream, body, reason] of cases) {
        expect(await send('PUT', `/${stream}`, body), stream).toMatchObject({
          status: 400,
          body: { step: 'put', reason },
        })
        expect((await send('GET', `/${stream}`)).status, stream).toBe(404)
        expect((await send('PUT', `/${stream}?test=false`, body)).status, stream).toBe(201)
        expect(await send('POST', `/${stream}/test`), stream).toMatchObject({
          status: 200,
          body: { ok: false, step: 'put', reason },
        })
      }
      expect(admin.lines.join('\n')).not.toContain(S3_USER.secretAccessKey)
    })

    test('a secret that was kept still opens the bucket', async () => {
      const name = await makeS3Bucket()
      await send('PUT', '/kept', s3(name))
      const { body } = await send('GET', '/kept')
      expect(await send('PUT', '/kept', { ...(body as object), format: 'parquet' })).toMatchObject({
        status: 200,
        body: { format: 'parquet' },
      })
      expect(await send('POST', '/kept/test')).toMatchObject({ body: { ok: true } })
    })
  },
)

test('a server that is not there is told within the time for a probe', async () => {
  const admin = await openTestAdmin({
    streams: {
      settings: streamSettings('127.0.0.1:9'),
      probe: createProber({ timeoutMs: 2_000, atOnceMax: 1, perProjectMax: 1 }),
    },
  })
  const project = await admin.createProject()
  const destination = { kind: 's3', bucket: 'lake', region: 'x', endpoint: 'http://127.0.0.1:9', credentials: USER }
  const answer = await admin.send('PUT', `/3.0/projects/${project.id}/streams/nobody`, {
    key: project.master,
    body: { destination, format: 'avro' },
  })
  expect(answer).toMatchObject({ status: 400, body: { step: 'put', reason: 'unavailable' } })
})
