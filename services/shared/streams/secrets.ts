import { createHmac, hkdfSync } from 'node:crypto'
import { type Seal, sealWith } from '../registry/seal.ts'
import type { DestinationDraft } from './parse-destination.ts'
import type { Destination } from './model.ts'

/** What a sealed text holds: of S3 the secret and perhaps a session token, of Cloud Storage the private key. */
export interface StreamSecret {
  readonly secret: string
  readonly sessionToken?: string
}

/** Whose secret it is, and where it is shown: what must stay the same when a secret is to stay. */
export interface SecretOwner {
  readonly kind: 's3' | 'gcs'
  readonly bucket: string
  readonly endpoint?: string
  /** The access key id, or the service account's address. */
  readonly user: string
}

export interface StreamSecrets {
  /** What comes out opens only for the same stream and owner: a definition that was changed by hand cannot send it elsewhere. */
  seal(secret: StreamSecret, projectId: string, name: string, owner: SecretOwner): string
  /** Throws InternalServerError when it was sealed for something else, or under another deployment secret. */
  open(sealed: string, projectId: string, name: string, owner: SecretOwner): StreamSecret
  /**
   * Under which a project's roles are assumed. A role whose trust policy asks for it cannot be used by another project
   * that names it.
   */
  externalIdOf(projectId: string): string
}

/** Undefined for a destination without a secret. */
export function ownerOf(destination: Destination | DestinationDraft): SecretOwner | undefined {
  if (destination.kind === 'folder') return undefined
  const { bucket, endpoint } = destination
  const place = { bucket, ...(endpoint !== undefined && { endpoint }) }
  if (destination.kind === 'gcs') return { kind: 'gcs', ...place, user: destination.credentials.clientEmail }
  const { credentials } = destination
  return credentials.kind === 'static' ? { kind: 's3', ...place, user: credentials.accessKeyId } : undefined
}

export const isSameOwner = (a: SecretOwner, b: SecretOwner | undefined): boolean =>
  b !== undefined && a.kind === b.kind && a.bucket === b.bucket && a.endpoint === b.endpoint && a.user === b.user

/** From the deployment's secret. Throws CONFIG_INVALID when it is too short to be one. */
export function streamSecretsWith(deploymentSecret: string, seal: Seal = sealWith(deploymentSecret)): StreamSecrets {
  const naming = Buffer.from(hkdfSync('sha256', deploymentSecret, 'tributary', 'streams: external ids', 32))
  const context = (projectId: string, name: string, { kind, bucket, endpoint, user }: SecretOwner): string =>
    `stream/${projectId}/${name} ${JSON.stringify([kind, bucket, endpoint ?? null, user])}`
  return {
    seal: (secret, projectId, name, owner) => seal.seal(JSON.stringify(secret), context(projectId, name, owner)),
    open: (sealed, projectId, name, owner) =>
      JSON.parse(seal.open(sealed, context(projectId, name, owner))) as StreamSecret,
    externalIdOf: (projectId) =>
      `tributary-${createHmac('sha256', naming).update(projectId).digest('hex').slice(0, 40)}`,
  }
}
