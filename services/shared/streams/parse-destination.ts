import { createPrivateKey } from 'node:crypto'
import type { S3Encryption } from '../bucket/s3/settings.ts'
import { type BodyPart, wrong } from './body-part.ts'
import { isGcsBucketName, isS3BucketName } from './bucket-names.ts'
import { checkEndpoint, isOwnHost } from './endpoints.ts'
import { parseFolder } from './folder.ts'
import type { FolderDestination, GcsDestination, S3Destination } from './model.ts'
import type { StreamSecret } from './secrets.ts'
import type { StreamSettings } from './settings.ts'

/** What stands in an answer instead of a secret, and in a body for the one that is stored. */
export const MASK = '********'

/** A destination as it was sent: its secret in clear, or undefined where the stored one is meant. */
export type DestinationDraft = S3Draft | GcsDraft | FolderDestination
export type S3Draft = Omit<S3Destination, 'credentials'> & {
  readonly credentials:
    | { readonly kind: 'static'; readonly accessKeyId: string; readonly secret: StreamSecret | undefined }
    | Extract<S3Destination['credentials'], { kind: 'role' }>
}
export type GcsDraft = Omit<GcsDestination, 'credentials'> & {
  readonly credentials: {
    readonly kind: 'service_account'
    readonly clientEmail: string
    readonly secret: StreamSecret | undefined
  }
}

const FIELD = 'destination'
const KINDS = ['s3', 'gcs', 'folder'] as const
const FIELDS = {
  s3: ['kind', 'bucket', 'region', 'endpoint', 'path_style', 'credentials', 'encryption'],
  gcs: ['kind', 'bucket', 'endpoint', 'credentials', 'kms_key_name'],
  folder: ['kind', 'folder'],
} as const
/** Of the file that Google hands out; what is not named below does not matter, and is not kept. */
const SERVICE_ACCOUNT_FIELDS = [
  'kind',
  'type',
  'project_id',
  'private_key_id',
  'private_key',
  'client_email',
  'client_id',
  'auth_uri',
  'token_uri',
  'auth_provider_x509_cert_url',
  'client_x509_cert_url',
  'universe_domain',
] as const
const ANY = /^.*$/s
const REGION = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
const ACCESS_KEY_ID = /^[\w.@+=-]{3,128}$/
const SECRET = /^[\x21-\x7e]{1,4096}$/
const SECRET_WORDS = '1 to 4096 printable ASCII characters'
const ROLE_ARN = /^arn:aws(?:-[a-z]+)*:iam::\d{12}:role\/[\w+=,.@/-]{1,576}$/
const S3_KMS_KEY = /^[\w:/-]{1,2048}$/
const GCS_KMS_KEY = /^projects\/[^/\s]+\/locations\/[^/\s]+\/keyRings\/[^/\s]+\/cryptoKeys\/[^/\s]+$/
const EMAIL = /^[^\s@]{1,128}@[^\s@]{1,192}$/

/**
 * The `destination` of a stream, checked against what the operator allows. `externalId` is the project's, the only one
 * that a body may name. Throws errors that name the field.
 */
export function parseDestination(body: BodyPart, settings: StreamSettings, externalId: string): DestinationDraft {
  const kind = body.part(FIELD, [...new Set(Object.values(FIELDS).flat())]).oneOf('kind', KINDS)
  const destination = body.part(FIELD, FIELDS[kind])
  switch (kind) {
    case 's3':
      return parseS3(destination, settings, externalId)
    case 'gcs':
      return parseGcs(destination, settings)
    case 'folder': {
      if (settings.folder === undefined) {
        throw wrong(
          destination.field('kind'),
          'cannot be folder: TRIBUTARY_STREAM_FOLDER is not set in this deployment',
        )
      }
      const folder = destination.text('folder', ANY, 'a text')
      return { kind, folder: parseFolder(folder, destination.field('folder')) }
    }
    default:
      return kind satisfies never
  }
}

function parseS3(body: BodyPart, settings: StreamSettings, externalId: string): S3Draft {
  const bucket = body.text('bucket', ANY, 'a text')
  if (!isS3BucketName(bucket)) throw wrong(body.field('bucket'), 'must be a bucket’s name by the rules of Amazon S3')
  const region = body.text('region', REGION, 'the name of a region, such as eu-central-1')
  const sent = body.optionalText('endpoint', ANY, 'a text')
  const pathStyle = body.optionalFlag('path_style') ?? isOthers(sent)
  const endpoint =
    sent === undefined
      ? undefined
      : checkEndpoint(sent, body.field('endpoint'), settings.endpoints, pathStyle ? undefined : bucket)
  const encryption = parseEncryption(body)
  return {
    kind: 's3',
    bucket,
    region,
    ...(endpoint !== undefined && { endpoint }),
    pathStyle,
    credentials: parseS3Credentials(body, externalId),
    ...(encryption !== undefined && { encryption }),
  }
}

/** Where nothing is said: Amazon has a name for each bucket, a server of one's own mostly has not. */
const isOthers = (endpoint: string | undefined): boolean =>
  endpoint !== undefined && URL.canParse(endpoint) && !isOwnHost(new URL(endpoint).hostname.replace(/\.$/, ''))

function parseS3Credentials(body: BodyPart, externalId: string): S3Draft['credentials'] {
  const all = ['kind', 'access_key_id', 'secret_access_key', 'session_token', 'role_arn', 'external_id']
  const kind = body.part('credentials', all).oneOf('kind', ['static', 'role'])
  if (kind === 'role') {
    const credentials = body.part('credentials', ['kind', 'role_arn', 'external_id'])
    const roleArn = credentials.text('role_arn', ROLE_ARN, 'the ARN of a role, arn:aws:iam::123456789012:role/name')
    const named = credentials.optionalText('external_id', ANY, 'a text')
    if (named !== undefined && named !== externalId) {
      throw wrong(credentials.field('external_id'), `must be left out or ${externalId}, which is this project’s`)
    }
    return { kind, roleArn }
  }
  const credentials = body.part('credentials', ['kind', 'access_key_id', 'secret_access_key', 'session_token'])
  const accessKeyId = credentials.text('access_key_id', ACCESS_KEY_ID, '3 to 128 letters, digits and _ . @ + = -')
  const secret = secretOf(credentials, 'secret_access_key')
  const sessionToken = secretOf(credentials, 'session_token')
  const isTokenMasked = sessionToken === undefined && credentials.given('session_token') !== undefined
  if ((secret === undefined && sessionToken !== undefined) || (secret !== undefined && isTokenMasked)) {
    throw wrong(credentials.field('session_token'), 'must be sent along with the secret_access_key that it belongs to')
  }
  return {
    kind,
    accessKeyId,
    secret: secret === undefined ? undefined : { secret, ...(sessionToken !== undefined && { sessionToken }) },
  }
}

/** Undefined where it is left out or masked. */
function secretOf(credentials: BodyPart, name: string): string | undefined {
  const secret = credentials.optionalText(name, SECRET, SECRET_WORDS)
  return secret === MASK ? undefined : secret
}

function parseEncryption(body: BodyPart): S3Encryption | undefined {
  const encryption = body.optionalPart('encryption', ['kind', 'key_id'])
  if (encryption === undefined) return undefined
  const kind = encryption.oneOf('kind', ['AES256', 'aws:kms'])
  const keyId = encryption.optionalText('key_id', S3_KMS_KEY, 'the id, alias or ARN of a key')
  if (kind === 'aws:kms') return { kind, keyId }
  if (keyId !== undefined) throw wrong(encryption.field('key_id'), 'is for aws:kms only')
  return { kind }
}

function parseGcs(body: BodyPart, settings: StreamSettings): GcsDraft {
  const bucket = body.text('bucket', ANY, 'a text')
  if (!isGcsBucketName(bucket)) {
    throw wrong(body.field('bucket'), 'must be a bucket’s name by the rules of Google Cloud Storage')
  }
  const sent = body.optionalText('endpoint', ANY, 'a text')
  const endpoint =
    sent === undefined ? undefined : checkEndpoint(sent, body.field('endpoint'), settings.endpoints, undefined)
  const kmsKeyName = body.optionalText(
    'kms_key_name',
    GCS_KMS_KEY,
    'projects/…/locations/…/keyRings/…/cryptoKeys/…, the name of a key',
  )
  return {
    kind: 'gcs',
    bucket,
    ...(endpoint !== undefined && { endpoint }),
    credentials: parseServiceAccount(body.part('credentials', SERVICE_ACCOUNT_FIELDS)),
    ...(kmsKeyName !== undefined && { kmsKeyName }),
  }
}

/** Other kinds of Google's credential files name addresses and files to read a token from, and are refused. */
function parseServiceAccount(credentials: BodyPart): GcsDraft['credentials'] {
  for (const name of ['kind', 'type']) {
    credentials.optionalText(name, /^service_account$/, 'service_account, the only kind that is taken')
  }
  const clientEmail = credentials.text('client_email', EMAIL, 'the address of a service account')
  const privateKey = credentials.optionalText('private_key', ANY, 'a text')
  const isKept = privateKey === undefined || privateKey === MASK
  if (!isKept && !isPrivateKey(privateKey)) {
    throw wrong(
      credentials.field('private_key'),
      'must be a private key in PEM, as it stands in the account’s JSON file',
    )
  }
  return { kind: 'service_account', clientEmail, secret: isKept ? undefined : { secret: privateKey } }
}

function isPrivateKey(pem: string): boolean {
  try {
    return pem.length <= 16_384 && createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}
