import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bodyOf } from '../../../services/shared/bucket/body.ts'
import type { S3Destination } from '../../../services/shared/streams/model.ts'
import { openDestination } from '../../../services/shared/streams/open-destination.ts'
import { streamSecretsWith } from '../../../services/shared/streams/secrets.ts'
import { streamSettings } from '../../support/streams.ts'

const SECRETS = streamSecretsWith('a deployment secret of the tests, 0123456789')
const refused = (reason: string): object => ({ code: 'BUCKET_REFUSED', details: { reason } })

let root: string
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'tributary-streams-')))
})
afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})
const open = (folder: string, projectId = 'p1', base: string | undefined = join(root, 'exports')) =>
  openDestination({ projectId, name: 's', destination: { kind: 'folder', folder } }, SECRETS, streamSettings('', base))

test('each project’s streams write into a folder of its own', async () => {
  for (const [projectId, folder] of [
    ['p1', 'a/b'],
    ['p2', 'a'],
  ] as const) {
    const bucket = await open(folder, projectId)
    await bucket.put('x/1', bodyOf('1'), { contentType: 'text/plain', signal: AbortSignal.timeout(5_000) })
  }
  expect(await readdir(join(root, 'exports/p1/a/b/x'))).toEqual(['1'])
  expect(await readdir(join(root, 'exports/p2/a/x'))).toEqual(['1'])
})

test('no name and no link leads out of there', async () => {
  for (const folder of ['..', '../p2', 'a/../../p2', '/etc', '.tributary', '']) {
    await expect(open(folder), folder).rejects.toMatchObject(refused('forbidden'))
  }
  await expect(open('a', '..')).rejects.toMatchObject(refused('forbidden'))
  const outside = join(root, 'outside')
  await mkdir(outside)
  await mkdir(join(root, 'exports/p1'), { recursive: true })
  await symlink(outside, join(root, 'exports/p1/link'))
  await symlink(outside, join(root, 'exports/p3'))
  await writeFile(join(root, 'exports/p1/file'), '')
  await expect(open('link')).rejects.toMatchObject(refused('forbidden'))
  await expect(open('link/below')).rejects.toMatchObject(refused('forbidden'))
  await expect(open('file')).rejects.toMatchObject(refused('forbidden'))
  await expect(open('a', 'p3')).rejects.toMatchObject(refused('forbidden'))
  expect(await readdir(outside)).toEqual([])
})

test('what the operator has forbidden since is not opened', async () => {
  const secrets = SECRETS
  const folder = { projectId: 'p1', name: 's', destination: { kind: 'folder', folder: 'a' } } as const
  await expect(openDestination(folder, secrets, streamSettings())).rejects.toMatchObject(refused('forbidden'))
  const owner = { kind: 's3', bucket: 'lake', endpoint: 'http://minio.internal:9000', user: 'AKIA' } as const
  const destination: S3Destination = {
    kind: 's3',
    bucket: 'lake',
    region: 'us-east-1',
    endpoint: owner.endpoint,
    pathStyle: true,
    credentials: {
      kind: 'static',
      accessKeyId: 'AKIA',
      sealed: secrets.seal({ secret: 'x' }, 'p1', 's', owner),
      hasSessionToken: false,
    },
  }
  const stream = { projectId: 'p1', name: 's', destination }
  const bucket = await openDestination(stream, secrets, streamSettings('minio.internal:9000'))
  expect(bucket.description).toBe('s3://lake')
  await bucket.close()
  await expect(openDestination(stream, secrets, streamSettings('other'))).rejects.toMatchObject(refused('forbidden'))
  const moved = { ...stream, destination: { ...destination, bucket: 'evil' } }
  await expect(openDestination(moved, secrets, streamSettings('minio.internal:9000'))).rejects.toMatchObject(
    refused('credentials'),
  )
})
