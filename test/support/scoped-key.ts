import { createCipheriv, randomBytes } from 'node:crypto'

/** A scoped key as SDKs make it from a project's master key of 64 hexadecimal characters. */
export function scopedKey(masterKey: string, scope: unknown): string {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', Buffer.from(masterKey, 'hex'), iv)
  return Buffer.concat([iv, cipher.update(JSON.stringify(scope)), cipher.final()]).toString('hex')
}
