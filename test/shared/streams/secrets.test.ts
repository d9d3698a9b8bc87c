import { expect, test } from 'vitest'
import { type SecretOwner, streamSecretsWith } from '../../../services/shared/streams/secrets.ts'

const SECRETS = streamSecretsWith('a deployment secret of the tests, 0123456789')
const OWNER: SecretOwner = { kind: 's3', bucket: 'lake', user: 'AKIA' }

test('a secret opens for the stream and the place that it was sealed for, and for nothing else', () => {
  const secret = { secret: 'hush', sessionToken: 'token' }
  const sealed = SECRETS.seal(secret, 'p1', 'lake', OWNER)
  expect(Buffer.from(sealed, 'base64').toString('latin1')).not.toContain('hush')
  expect(SECRETS.open(sealed, 'p1', 'lake', OWNER)).toEqual(secret)
  const others: readonly (readonly [string, string, SecretOwner])[] = [
    ['p2', 'lake', OWNER],
    ['p1', 'sea', OWNER],
    ['p1', 'lake', { ...OWNER, kind: 'gcs' }],
    ['p1', 'lake', { ...OWNER, bucket: 'evil' }],
    ['p1', 'lake', { ...OWNER, endpoint: 'https://evil.example' }],
    ['p1', 'lake', { ...OWNER, user: 'other' }],
  ]
  for (const [projectId, name, owner] of others) expect(() => SECRETS.open(sealed, projectId, name, owner)).toThrow()
  const foreign = streamSecretsWith('another deployment secret, 0123456789')
  expect(() => foreign.open(sealed, 'p1', 'lake', OWNER)).toThrow()
})

test('an external id is one project’s, one deployment’s, always the same, and one that Amazon takes', () => {
  const own = SECRETS.externalIdOf('p1')
  expect(own).toMatch(/^tributary-[0-9a-f]{40}$/)
  expect(SECRETS.externalIdOf('p1')).toBe(own)
  expect(SECRETS.externalIdOf('p2')).not.toBe(own)
  expect(streamSecretsWith('another deployment secret, 0123456789').externalIdOf('p1')).not.toBe(own)
})
