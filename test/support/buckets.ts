import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { Storage } from '@google-cloud/storage'
import { randomUUID } from 'node:crypto'
import { openGcsBucket } from '../../services/shared/bucket/gcs/open.ts'
import type { GcsSettings } from '../../services/shared/bucket/gcs/settings.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { createS3Client } from '../../services/shared/bucket/s3/client.ts'
import { openS3Bucket } from '../../services/shared/bucket/s3/open.ts'
import type { S3Settings } from '../../services/shared/bucket/s3/settings.ts'
import { S3_USER } from './bucket-servers.ts'
import { bucketServers } from './servers.ts'

const MIB = 1024 * 1024
const newName = (): string => `tributary-${randomUUID()}`

/** For the run's S3 server, or what stands in front of it. */
export const s3SettingsOf = (bucket: string, endpoint = bucketServers().s3): S3Settings => ({
  bucket,
  region: 'us-east-1',
  endpoint,
  pathStyle: true,
  credentials: { kind: 'static', ...S3_USER, sessionToken: undefined },
  encryption: undefined,
  partBytes: 5 * MIB,
})

export const gcsSettingsOf = (bucket: string, endpoint = bucketServers().gcs): GcsSettings => ({
  bucket,
  endpoint,
  credentials: { kind: 'anonymous' },
  kmsKeyName: undefined,
  chunkBytes: 4 * MIB,
})

/** Makes a bucket on the run's S3 server and gives its name. */
export async function makeS3Bucket(name = newName()): Promise<string> {
  const client = createS3Client(s3SettingsOf(name))
  await client.send(new CreateBucketCommand({ Bucket: name }))
  client.destroy()
  return name
}

/** Makes a bucket on the run's GCS server and gives its name. */
export async function makeGcsBucket(name = newName()): Promise<string> {
  const storage = new Storage({ apiEndpoint: bucketServers().gcs, projectId: 'none', useAuthWithCustomEndpoint: false })
  await storage.createBucket(name)
  return name
}

export const s3BucketNamed = (name: string): Bucket => openS3Bucket(s3SettingsOf(name))
export const gcsBucketNamed = (name: string): Bucket => openGcsBucket(gcsSettingsOf(name))
export const newS3Bucket = async (): Promise<Bucket> => s3BucketNamed(await makeS3Bucket())
export const newGcsBucket = async (): Promise<Bucket> => gcsBucketNamed(await makeGcsBucket())
