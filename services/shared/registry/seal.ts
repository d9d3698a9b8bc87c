import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes } from 'node:crypto'
import { AppError } from '../errors.ts'

/** Below this a deployment secret can be guessed. */
const SECRET_CHARS_MIN = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** How keys are kept: encrypted, and found again by a keyed hash. Both need the deployment secret. */
export interface Seal {
  /** Says which deployment secret this is, without telling it: 16 hex characters. */
  readonly secretId: string
  /** Encrypts; what comes out opens only with the same `context`. */
  seal(text: string, context: string): string
  /** Throws InternalServerError when this is not what `seal` gave for that context. */
  open(sealed: string, context: string): string
  /** The keyed hash of a key: base64url. Equal for equal keys, and of no use to who does not have the deployment secret. */
  readonly lookup: (text: string) => string
}

/** Throws CONFIG_INVALID when the deployment secret is too short to be one. */
export function sealWith(secret: string): Seal {
  if (secret.length < SECRET_CHARS_MIN) {
    throw new AppError('CONFIG_INVALID', `TRIBUTARY_SECRET must have at least ${SECRET_CHARS_MIN} characters`)
  }
  const derive = (purpose: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, 'tributary', purpose, bytes))
  const sealing = createSecretKey(derive('keys: sealing', 32))
  const looking = createSecretKey(derive('keys: lookup', 32))
  return {
    secretId: derive('keys: which secret', 8).toString('hex'),
    seal(text, context) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', sealing, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, 'base64')
      try {
        const nonce = bytes.subarray(0, NONCE_BYTES)
        const decipher = createDecipheriv('aes-256-gcm', sealing, nonce, { authTagLength: TAG_BYTES })
        decipher.setAAD(Buffer.from(context))
        decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
        return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      } catch (cause) {
        throw new AppError('InternalServerError', 'a stored key cannot be opened', { cause, details: { context } })
      }
    },
    lookup: (text) => createHmac('sha256', looking).update(text).digest('base64url'),
  }
}
