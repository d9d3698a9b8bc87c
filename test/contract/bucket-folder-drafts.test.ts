import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, describe, expect, it } from 'vitest'
import { bodyOf } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'

const HOUR_S = 3_600
const folder = mkdtempSync(join(tmpdir(), 'tributary-bucket-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a folder as a bucket', () => {
  it('removes drafts older than a day when it is opened, and no others', async () => {
    const root = join(folder, 'drafts')
    const drafts = join(root, '.tributary', 'drafts')
    await mkdir(drafts, { recursive: true })
    const now = Date.now() / 1_000
    for (const [name, hours] of [
      ['old', 25],
      ['young', 23],
      ['new', 0],
    ] as const) {
      await writeFile(join(drafts, name), 'half')
      await utimes(join(drafts, name), now, now - hours * HOUR_S)
    }
    await openFolderBucket(root)
    expect((await readdir(drafts)).toSorted()).toEqual(['new', 'young'])
  })

  it('ends a stream with its signal, whether or not anybody reads it yet', async () => {
    const bucket = await openFolderBucket(join(folder, 'streams'))
    const options = { contentType: 'text/plain', signal: new AbortController().signal }
    await bucket.put('a', bodyOf(Buffer.alloc(1_000_000)), options)
    const abort = new AbortController()
    const stream = await bucket.get('a', abort.signal)
    abort.abort(new Error('shutting down'))
    if (stream === undefined) throw new Error('there is an object')
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
    const listed = bucket.list('', { signal: abort.signal })[Symbol.asyncIterator]().next()
    await expect(listed).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
  })
})
