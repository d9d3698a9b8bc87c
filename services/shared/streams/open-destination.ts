import { AppError } from '../errors.ts'
import { openFolderBucket } from '../bucket/folder/open.ts'
import { openGcsBucket } from '../bucket/gcs/open.ts'
import type { Bucket } from '../bucket/port.ts'
import { openS3Bucket } from '../bucket/s3/open.ts'
import type { S3Credentials } from '../bucket/s3/settings.ts'
import { checkEndpoint } from './endpoints.ts'
import { ownFolder } from './folder.ts'
import type { S3Destination, Stream } from './model.ts'
import { ownerOf, type StreamSecret, type StreamSecrets } from './secrets.ts'
import type { StreamSettings } from './settings.ts'

const MIB = 1_048_576
const PART_BYTES = 8 * MIB

/** What opening needs of a stream. */
export type OpenableStream = Pick<Stream, 'projectId' | 'name' | 'destination'>

/**
 * The bucket that a stream writes to; whoever opened it closes it. What the operator allows is looked at again, as it may
 * have changed since the stream was defined. The process's own credentials are used for nothing but to assume a role.
 * Rejects with BUCKET_REFUSED (`forbidden` by the operator's settings, `credentials` that cannot be unsealed) or, of a
 * folder, BUCKET_UNAVAILABLE.
 */
export async function openDestination(
  stream: OpenableStream,
  secrets: StreamSecrets,
  settings: StreamSettings,
): Promise<Bucket> {
  const { destination, projectId } = stream
  switch (destination.kind) {
    case 's3': {
      const { bucket, region, endpoint, pathStyle, encryption } = destination
      requireAllowed(endpoint, settings, pathStyle ? undefined : bucket)
      const credentials = s3Credentials(stream, destination, secrets)
      return openS3Bucket({ bucket, region, endpoint, pathStyle, credentials, encryption, partBytes: PART_BYTES })
    }
    case 'gcs': {
      const { bucket, endpoint, kmsKeyName, credentials } = destination
      requireAllowed(endpoint, settings, undefined)
      const { secret: privateKey } = opened(stream, credentials.sealed, secrets)
      const account = { kind: 'static', clientEmail: credentials.clientEmail, privateKey } as const
      return openGcsBucket({ bucket, endpoint, kmsKeyName, credentials: account, chunkBytes: PART_BYTES })
    }
    case 'folder':
      if (settings.folder === undefined) throw refused('forbidden', 'Streams into folders are not allowed any more.')
      return openFolderBucket(await ownFolder(settings.folder, projectId, destination.folder))
    default:
      return destination satisfies never
  }
}

function s3Credentials(stream: OpenableStream, { credentials }: S3Destination, secrets: StreamSecrets): S3Credentials {
  if (credentials.kind === 'role') {
    return { kind: 'role', roleArn: credentials.roleArn, externalId: secrets.externalIdOf(stream.projectId) }
  }
  const { secret: secretAccessKey, sessionToken } = opened(stream, credentials.sealed, secrets)
  return { kind: 'static', accessKeyId: credentials.accessKeyId, secretAccessKey, sessionToken }
}

function opened(
  { projectId, name, destination }: OpenableStream,
  sealed: string,
  secrets: StreamSecrets,
): StreamSecret {
  const owner = ownerOf(destination)
  try {
    if (owner !== undefined) return secrets.open(sealed, projectId, name, owner)
  } catch (cause) {
    throw refused('credentials', 'The stored secret cannot be opened; send it anew.', cause)
  }
  throw refused('credentials', 'The destination has no secret.')
}

function requireAllowed(endpoint: string | undefined, settings: StreamSettings, bucket: string | undefined): void {
  if (endpoint === undefined) return
  try {
    checkEndpoint(endpoint, 'endpoint', settings.endpoints, bucket)
  } catch (cause) {
    throw refused('forbidden', 'The endpoint is not among those that this deployment allows any more.', cause)
  }
}

const refused = (reason: 'forbidden' | 'credentials', message: string, cause?: unknown): AppError =>
  new AppError('BUCKET_REFUSED', message, { cause, details: { reason } })
