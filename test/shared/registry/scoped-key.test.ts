import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { scopedGrant } from '../../../services/shared/registry/scoped-grant.ts'
import { readScopedKey } from '../../../services/shared/registry/scoped-key.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { openTestRegistry } from '../../support/open-registry.ts'
import { scopedKey } from '../../support/scoped-key.ts'

const MASTER = '0123456789ABCDEF'.repeat(4)
const FILTER = { property_name: 'customer.id', operator: 'eq', property_value: 'c1' }
const SCOPE = { allowed_operations: ['read'], filters: [FILTER] }

const encrypt = (key: Buffer, padded: Buffer): string => {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false)
  return Buffer.concat([iv, cipher.update(padded), cipher.final()]).toString('hex')
}
const padTo = (text: string, block: number): Buffer => {
  const count = block - (Buffer.byteLength(text) % block)
  return Buffer.concat([Buffer.from(text), Buffer.alloc(count, count)])
}

test.each([0, 1, 7, 15])('keys are read as each SDK family makes them, text longer by %i', (more) => {
  const text = JSON.stringify(SCOPE) + ' '.repeat(more)
  const key = Buffer.from(MASTER, 'hex')
  const whole = Buffer.from(text.padEnd(Math.ceil(text.length / 16) * 16))
  const old = '0123456789abcdef0123456789abcdef'
  const made: [string, string][] = [
    [scopedKey(MASTER, SCOPE), MASTER],
    [encrypt(key, padTo(text, 16)), MASTER],
    [encrypt(key, padTo(text, 16)).toUpperCase(), MASTER],
    [encrypt(key, whole), MASTER], // fills its last block, unpadded
    [encrypt(Buffer.from(old), padTo(text, 32)), old],
    [encrypt(key, padTo(text, 16)), MASTER.toLowerCase()],
  ]
  for (const [presented, master] of made) {
    expect(readScopedKey(presented, master)).toMatchObject({ reads: true, writes: false, filters: [FILTER] })
  }
})

test('what is not quite a scoped key is none', () => {
  const good = scopedKey(MASTER, SCOPE)
  const flipped = (at: number): string => good.slice(0, at) + (good[at] === '0' ? '1' : '0') + good.slice(at + 1)
  for (const at of [0, 20, 40, good.length - 1]) expect(readScopedKey(flipped(at), MASTER)).toBeUndefined()
  for (const wrong of [
    good.slice(0, -2),
    good.slice(0, -32),
    good.slice(32),
    `${good}00`,
    'g'.repeat(64),
    'A'.repeat(64),
  ]) {
    expect(readScopedKey(wrong, MASTER)).toBeUndefined()
  }
  expect(readScopedKey(good, 'F'.repeat(64))).toBeUndefined()
  expect(readScopedKey(good.repeat(100), MASTER)).toBeUndefined()
  for (const text of [
    [],
    1,
    null,
    { ...SCOPE, more: 1 },
    { filters: {} },
    { filters: [{}] },
    { allowed_operations: 'read' },
  ]) {
    expect(readScopedKey(scopedKey(MASTER, text), MASTER), JSON.stringify(text)).toBeUndefined()
  }
})

const granted = (scope: unknown) => {
  const read = readScopedKey(scopedKey(MASTER, scope), MASTER)
  if (read === undefined) throw new Error('not read')
  const { permitted, options } = scopedGrant('p', read, () => [])
  return { permitted: [...permitted].toSorted(), options }
}

test('under filters, nothing that was computed over all rows may be read', () => {
  const { permitted, options } = granted(SCOPE)
  expect(permitted).toEqual(['queries', 'saved_queries', 'schema'])
  expect([options.queries, options.saved_queries]).toEqual([{ filters: [FILTER] }, { filters: [FILTER] }])
  expect(granted({ allowed_operations: ['read'] }).permitted).toContain('cached_queries')
  expect(granted({ allowed_operations: [] }).permitted).toEqual([])
  expect(granted({ filters: [FILTER] }).permitted).toContain('writes')
})

test('a key writes only events that its filters can be put into', () => {
  const write = (filters: unknown) => granted({ allowed_operations: ['write'], filters })
  expect(write([FILTER])).toMatchObject({
    permitted: ['writes'],
    options: { writes: { autofill: { customer: { id: 'c1' } }, mayNotContradict: true } },
  })
  for (const filter of [
    { ...FILTER, operator: 'ne' },
    { ...FILTER, property_value: null },
    { ...FILTER, property_name: 'keen.timestamp', property_value: '2024-01-01' },
    { operator: 'or', operands: [FILTER] },
    { ...FILTER, property_value: 'c2' },
    { ...FILTER, property_name: 'customer' },
  ]) {
    expect(write([FILTER, filter]).permitted, JSON.stringify(filter)).toEqual([])
  }
})

test('the registry takes scoped keys of the project that is named, while its master key is the one they were made with', async () => {
  const { registry, lines } = await openTestRegistry()
  const create = async (name: string) =>
    registry.createProject(DEPLOYMENT.organizationId, { name, users: [], preferences: {} })
  const [one, other] = [await create('one'), await create('other')]
  const master = registry.predefinedKeys(one.id).master
  if (master === undefined) throw new Error('no master key')
  const key = scopedKey(master.secret, SCOPE)
  const refused = { code: 'InvalidApiKeyError' }
  expect(registry.authenticate(one.id, key)).toMatchObject({ projectId: one.id, kind: 'access', keyId: 'scoped' })
  expect(registry.authenticate(one.id, key)).toBe(registry.authenticate(one.id, key.toUpperCase()))
  expect(() => registry.authenticate(other.id, key)).toThrow(expect.objectContaining(refused))
  expect(() => registry.authenticate('5f0000000000000000000000', key)).toThrow(
    expect.objectContaining({ code: 'ResourceNotFoundError' }),
  )
  await registry.replaceSecret(one.id, 'master')
  expect(() => registry.authenticate(one.id, key)).toThrow(expect.objectContaining(refused))
  const next = registry.predefinedKeys(one.id).master
  if (next === undefined) throw new Error('no master key')
  const another = scopedKey(next.secret, SCOPE)
  expect(registry.authenticate(one.id, another)).toMatchObject({ keyId: 'scoped' })
  await registry.revoke(one.id, next.id)
  expect(() => registry.authenticate(one.id, another)).toThrow(expect.objectContaining(refused))
  expect(lines.join('\n')).not.toContain(key)
  await registry.close()
})
