import type { Destination, Stream } from './model.ts'
import { MASK } from './parse-destination.ts'

/** A stream as the API gives it: what can be sent again, and what only the server says. No secret, sealed or not, is in it. */
export function shownStream(stream: Stream, externalId: string): Readonly<Record<string, unknown>> {
  return {
    name: stream.name,
    project_id: stream.projectId,
    version: stream.version,
    created_at: new Date(stream.createdAtMs).toISOString(),
    changed_at: new Date(stream.changedAtMs).toISOString(),
    destination: shownDestination(stream.destination, externalId),
    prefix: stream.prefix,
    format: stream.format,
    collections: stream.collections,
    filters: stream.filtersJson,
    cadence_minutes: stream.cadenceMinutes,
    target_bytes: stream.targetBytes,
    start: new Date(stream.startMs).toISOString(),
    paused: stream.paused,
    external_id: externalId,
  }
}

function shownDestination(destination: Destination, externalId: string): Readonly<Record<string, unknown>> {
  switch (destination.kind) {
    case 's3': {
      const { kind, bucket, region, endpoint = null, pathStyle, credentials, encryption } = destination
      return {
        kind,
        bucket,
        region,
        endpoint,
        path_style: pathStyle,
        credentials:
          credentials.kind === 'role'
            ? { kind: 'role', role_arn: credentials.roleArn, external_id: externalId }
            : {
                kind: 'static',
                access_key_id: credentials.accessKeyId,
                secret_access_key: MASK,
                ...(credentials.hasSessionToken && { session_token: MASK }),
              },
        encryption: encryption === undefined ? null : shownEncryption(encryption),
      }
    }
    case 'gcs': {
      const { kind, bucket, endpoint = null, credentials, kmsKeyName = null } = destination
      return {
        kind,
        bucket,
        endpoint,
        credentials: { kind: credentials.kind, client_email: credentials.clientEmail, private_key: MASK },
        kms_key_name: kmsKeyName,
      }
    }
    case 'folder':
      return { kind: 'folder', folder: destination.folder }
    default:
      return destination satisfies never
  }
}

const shownEncryption = (encryption: { readonly kind: string; readonly keyId?: string | undefined }) => ({
  kind: encryption.kind,
  ...(encryption.keyId !== undefined && { key_id: encryption.keyId }),
})
