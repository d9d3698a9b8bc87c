import { AppError } from '../errors.ts'
import type { Destination } from './model.ts'
import type { DestinationDraft } from './parse-destination.ts'
import { isSameOwner, ownerOf, type SecretOwner, type StreamSecret, type StreamSecrets } from './secrets.ts'

export interface SealContext {
  readonly projectId: string
  readonly name: string
  readonly secrets: StreamSecrets
  /** What it replaces, whose secret may stay. */
  readonly known: Destination | undefined
}

/**
 * A destination as it is kept. A secret that was not sent is the stored one, as long as it goes to the same place for the
 * same user: otherwise whoever can write a definition could have the secret sent to a bucket of his own. Throws
 * InvalidRequestFieldError or MissingRequiredRequestFieldError.
 */
export function sealedDestination(draft: DestinationDraft, context: SealContext): Destination {
  const owner = ownerOf(draft)
  if (draft.kind === 'folder' || owner === undefined) return draft as Destination
  if (draft.kind === 'gcs') {
    const { kind, clientEmail, secret } = draft.credentials
    const { sealed } = sealedOf(secret, owner, 'destination.credentials.private_key', context)
    return { ...draft, credentials: { kind, clientEmail, sealed } }
  }
  const { credentials } = draft
  if (credentials.kind === 'role') return { ...draft, credentials }
  const { kind, accessKeyId, secret } = credentials
  const kept = sealedOf(secret, owner, 'destination.credentials.secret_access_key', context)
  return { ...draft, credentials: { kind, accessKeyId, ...kept } }
}

function sealedOf(
  secret: StreamSecret | undefined,
  owner: SecretOwner,
  field: string,
  { projectId, name, secrets, known }: SealContext,
): { readonly sealed: string; readonly hasSessionToken: boolean } {
  if (secret !== undefined) {
    const sealed = secrets.seal(secret, projectId, name, owner)
    return { sealed, hasSessionToken: secret.sessionToken !== undefined }
  }
  const stored = known === undefined || known.kind === 'folder' ? undefined : known.credentials
  if (known === undefined || stored === undefined || !('sealed' in stored)) {
    throw new AppError('MissingRequiredRequestFieldError', `${field} is required.`)
  }
  if (!isSameOwner(owner, ownerOf(known))) {
    throw new AppError(
      'InvalidRequestFieldError',
      `${field} must be sent anew, as the kind, bucket, endpoint or user of the destination is another than the stored one.`,
    )
  }
  return { sealed: stored.sealed, hasSessionToken: 'hasSessionToken' in stored && stored.hasSessionToken }
}
