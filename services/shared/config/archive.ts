import { join, resolve } from 'node:path'
import type { GcsSettings } from '../bucket/gcs/settings.ts'
import type { S3Credentials, S3Settings } from '../bucket/s3/settings.ts'
import type { Environment } from './settings.ts'

const MIB = 1024 * 1024
const S3_PART_BYTES = 8 * MIB
const GCS_CHUNK_BYTES = 8 * MIB

/** Where the archive is; `prefix` is empty or ends with a slash. */
export type ArchiveConfig =
  | { readonly kind: 'none' }
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 's3'; readonly settings: S3Settings; readonly prefix: string }
  | { readonly kind: 'gcs'; readonly settings: GcsSettings; readonly prefix: string }

const IN_BUCKET = /^(s3|gs):\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:\/(.*))?$/

/** Reads the settings of the archive; unset, it is a folder beside an embedded log, and nowhere beside Kafka. */
export function archiveOf(
  e: Environment,
  { dataDir, cwd }: { readonly dataDir: string; readonly cwd: string },
  problems: string[],
): ArchiveConfig {
  const where = e.TRIBUTARY_ARCHIVE
  if (where === undefined) {
    return e.KAFKA_BROKERS === undefined ? { kind: 'folder', folder: join(dataDir, 'archive') } : { kind: 'none' }
  }
  if (where === 'none') return { kind: 'none' }
  if (!/^[a-z0-9]+:\/\//i.test(where)) return { kind: 'folder', folder: resolve(cwd, where) }
  const [, scheme, bucket = '', path = ''] = IN_BUCKET.exec(where) ?? []
  const parts = path.split('/').filter((part) => part !== '')
  const prefix = parts.map((part) => `${part}/`).join('')
  if (parts.some((part) => part === '.' || part === '..'))
    problems.push('TRIBUTARY_ARCHIVE must have no . or .. in its path')
  switch (scheme) {
    case 's3':
      return { kind: 's3', prefix, settings: s3Of(e, bucket, problems) }
    case 'gs':
      return {
        kind: 'gcs',
        prefix,
        settings: {
          bucket,
          endpoint: e.TRIBUTARY_ARCHIVE_ENDPOINT,
          // An emulator asks for nobody's name.
          credentials: e.TRIBUTARY_ARCHIVE_ENDPOINT === undefined ? { kind: 'ambient' } : { kind: 'anonymous' },
          kmsKeyName: e.TRIBUTARY_ARCHIVE_KMS_KEY,
          chunkBytes: GCS_CHUNK_BYTES,
        },
      }
    case undefined:
    default:
      problems.push('TRIBUTARY_ARCHIVE must be a folder, s3://bucket/prefix, gs://bucket/prefix or none')
      return { kind: 'none' }
  }
}

function s3Of(e: Environment, bucket: string, problems: string[]): S3Settings {
  const { TRIBUTARY_ARCHIVE_S3_ENCRYPTION: encryption, TRIBUTARY_ARCHIVE_KMS_KEY: keyId } = e
  return {
    bucket,
    region: e.TRIBUTARY_ARCHIVE_S3_REGION,
    endpoint: e.TRIBUTARY_ARCHIVE_ENDPOINT,
    pathStyle: e.TRIBUTARY_ARCHIVE_S3_PATH_STYLE,
    credentials: credentialsOf(e, problems),
    encryption: encryption === 'aws:kms' ? { kind: encryption, keyId } : encryption && { kind: encryption },
    partBytes: S3_PART_BYTES,
  }
}

function credentialsOf(e: Environment, problems: string[]): S3Credentials {
  const { TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: accessKeyId, TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: secretAccessKey } = e
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    problems.push('TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID and TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY must be set together')
  }
  const ways = [accessKeyId, e.TRIBUTARY_ARCHIVE_S3_PROFILE, e.TRIBUTARY_ARCHIVE_S3_ROLE_ARN]
  if (ways.filter((way) => way !== undefined).length > 1) {
    problems.push('only one of TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID, _PROFILE and _ROLE_ARN may be set')
  }
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { kind: 'static', accessKeyId, secretAccessKey, sessionToken: undefined }
  }
  if (e.TRIBUTARY_ARCHIVE_S3_PROFILE !== undefined) return { kind: 'profile', profile: e.TRIBUTARY_ARCHIVE_S3_PROFILE }
  if (e.TRIBUTARY_ARCHIVE_S3_ROLE_ARN !== undefined) {
    return { kind: 'role', roleArn: e.TRIBUTARY_ARCHIVE_S3_ROLE_ARN, externalId: undefined }
  }
  return { kind: 'ambient' }
}
