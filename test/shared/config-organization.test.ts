import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openOrganization, readOrganization } from '../../services/shared/config/organization.ts'

let dataDir = ''
beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'organization-')), 'data')
})
afterEach(() => rm(join(dataDir, '..'), { recursive: true, force: true }))

const NONE = { id: undefined, key: undefined, secret: undefined }
const open = (more: Partial<Parameters<typeof openOrganization>[0]> = {}) =>
  openOrganization({ dataDir, fromSettings: NONE, mayCreate: true, ...more })

test('the first start makes the organization and keeps it for its owner alone; the second finds it', async () => {
  const first = await open()
  expect(first).toMatchObject({ isNew: true, source: 'file' })
  expect(first.id).toMatch(/^[0-9a-f]{24}$/)
  expect(first.key).toMatch(/^[0-9A-F]{64}$/)
  expect((await stat(first.file)).mode & 0o777).toBe(0o600)
  const second = await open()
  expect(second).toEqual({ ...first, isNew: false })
  expect(await readdir(dataDir)).toEqual(['organization.json'])
})

test('first starts at the same time agree on one organization, and one of them made it', async () => {
  await mkdir(dataDir)
  const all = await Promise.all(Array.from({ length: 16 }, () => open()))
  expect(new Set(all.map(({ id, key, secret }) => `${id}${key}${secret}`)).size).toBe(1)
  expect(all.filter(({ isNew }) => isNew)).toHaveLength(1)
})

test('settings win over the file, unless their secret could not read what is stored', async () => {
  const kept = await open()
  const same = { id: 'f'.repeat(24), key: 'K'.repeat(32), secret: kept.secret }
  expect(await open({ fromSettings: same })).toMatchObject({ ...same, source: 'environment' })
  await expect(open({ fromSettings: { ...same, secret: 's'.repeat(32) } })).rejects.toThrow(/TRIBUTARY_SECRET differs/)
})

test('in a cluster nothing is made: the sentence says what to set', async () => {
  await expect(open({ mayCreate: false })).rejects.toThrow(/TRIBUTARY_ORGANIZATION_ID.*must be set/)
  expect(await readOrganization(dataDir)).toBeUndefined()
})

test('a damaged file is neither used nor replaced', async () => {
  const { file } = await open()
  await writeFile(file, '{"organization_id":')
  await expect(open()).rejects.toThrow(/damaged/)
  expect(await readFile(file, 'utf8')).toBe('{"organization_id":')
})

test('a log whose organization file is gone is not given a new secret', async () => {
  const { file } = await open()
  await mkdir(join(dataDir, 'log'))
  await writeFile(join(dataDir, 'log', 'data.mdb'), '')
  await rm(file)
  await expect(open()).rejects.toThrow(/is missing/)
})
