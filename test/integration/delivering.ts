import { readWhole } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { call, type ProjectKeys } from '../support/api.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import type { ServiceProcess } from '../support/processes.ts'
import { bucketServers, clickhouseUrl, kafkaBrokers } from '../support/servers.ts'
import { SERVICE_ACCOUNT } from '../support/stream-bodies.ts'

/** A deployment on Kafka with an archive in S3, and a project whose streams deliver from it. */
export interface Delivering {
  readonly deployment: DeploymentUnderTest
  readonly project: ProjectKeys
  /** Makes a stream, or defines it anew as it is: then it is looked at at once, whatever its cadence. */
  readonly define: (name: string, stream: object) => Promise<void>
  /** As the API tells it. */
  readonly stateOf: (name: string) => Promise<Readonly<Record<string, unknown>>>
}

export interface DeliveringOptions {
  /** The archive's bucket, at the address that its processes talk to. */
  readonly archive: { readonly bucket: string; readonly endpoint: string }
  /** Addresses that streams may name. */
  readonly endpoints: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export async function openDelivering({ archive, endpoints, env = {} }: DeliveringOptions): Promise<Delivering> {
  const deployment = await openDeployment({
    brokers: kafkaBrokers(),
    clickhouseUrl: clickhouseUrl(),
    env: {
      TRIBUTARY_LOG_SESSION_MS: '6000',
      TRIBUTARY_EVENT_PARTITIONS: '4',
      TRIBUTARY_ARCHIVE: `s3://${archive.bucket}`,
      TRIBUTARY_ARCHIVE_ENDPOINT: archive.endpoint,
      TRIBUTARY_ARCHIVE_S3_PATH_STYLE: 'true',
      TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: S3_USER.accessKeyId,
      TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: S3_USER.secretAccessKey,
      TRIBUTARY_STREAM_ENDPOINTS: endpoints.map((url) => new URL(url).host).join(),
      ...env,
    },
  })
  const admin: ServiceProcess = await deployment.start('admin')
  const project = await deployment.project(admin.url)
  const urlOf = (name: string): string => `${admin.url}/3.0/projects/${project.id}/streams/${name}`
  return {
    deployment,
    project,
    async define(name, stream) {
      const { status, body } = await call('PUT', `${urlOf(name)}?test=false`, { key: project.master, body: stream })
      if (status !== 200 && status !== 201) throw new Error(`no stream: ${status} ${JSON.stringify(body)}`)
    },
    async stateOf(name) {
      const { body } = await call('GET', urlOf(name), { key: project.master })
      return (body as { state?: Record<string, unknown> | null }).state ?? {}
    },
  }
}

export const toS3 = (bucket: string, endpoint = bucketServers().s3) => ({
  kind: 's3',
  bucket,
  region: 'us-east-1',
  endpoint,
  path_style: true,
  credentials: {
    kind: 'static',
    access_key_id: S3_USER.accessKeyId,
    secret_access_key: S3_USER.secretAccessKey,
  },
})

export const toGcs = (bucket: string, endpoint = bucketServers().gcs) => ({
  kind: 'gcs',
  bucket,
  endpoint,
  credentials: SERVICE_ACCOUNT,
})

/** How many events the manifests in a stream's bucket say were delivered, from deliveries that `seen` does not have yet. */
export async function deliveredEvents(bucket: Bucket, seen: Map<string, number>, signal: AbortSignal): Promise<number> {
  for await (const { key } of bucket.list('_manifests/', { signal })) {
    if (seen.has(key)) continue
    const text = String(await readWhole(bucket, key, signal))
    seen.set(key, (JSON.parse(text) as { events: number }).events)
  }
  return [...seen.values()].reduce((sum, events) => sum + events, 0)
}
