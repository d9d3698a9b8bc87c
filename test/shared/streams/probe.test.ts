import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFolderBucket } from '../../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../../services/shared/bucket/port.ts'
import { AppError } from '../../../services/shared/errors.ts'
import { createProber } from '../../../services/shared/streams/probe.ts'

const STREAM = { projectId: 'p1', name: 's', prefix: '{stream}/{collection}/{hour}-', collections: null }
const LIMITS = { timeoutMs: 200, atOnceMax: 3, perProjectMax: 2 }
const refusal = (reason: string): AppError =>
  new AppError('BUCKET_REFUSED', `The bucket refused: ${reason}.`, { details: { reason } })
const fail = (error: Error) => async (): Promise<never> => {
  throw error
}

let folder: string
let bucket: Bucket
const keys: string[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-probe-'))
  const opened = await openFolderBucket(folder)
  keys.length = 0
  bucket = {
    ...opened,
    put: async (key, body, options) => {
      keys.push(key)
      await opened.put(key, body, options)
    },
  }
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})
const files = async (): Promise<readonly string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

test('an object is written under the stream’s prefix, read back and gone', async () => {
  const probe = createProber(LIMITS)
  expect(await probe(STREAM, async () => bucket)).toEqual({ ok: true, ms: expect.any(Number) as unknown })
  expect(keys).toEqual([expect.stringMatching(/^s\/probe\/\d\d-tributary-probe-[0-9a-f-]{36}$/)])
  expect(await probe({ ...STREAM, collections: ['a b'] }, async () => bucket)).toMatchObject({ ok: true })
  expect(keys[1]).toMatch(/^s\/a%20b\//)
  expect(await files()).toEqual([])
})

test.each(['forbidden', 'no_bucket', 'credentials', 'quota', 'invalid'])('%s is told with its step', async (reason) => {
  const probe = createProber(LIMITS)
  const message = `The bucket refused: ${reason}.`
  for (const step of ['put', 'get', 'delete'] as const) {
    const result = await probe(STREAM, async () => ({ ...bucket, [step]: fail(refusal(reason)) }))
    expect(result).toEqual({ ok: false, step, reason, message })
  }
  expect(await probe(STREAM, fail(refusal(reason)))).toEqual({ ok: false, step: 'put', reason, message })
})

test('what failed after the write leaves nothing behind, and no cause is shown', async () => {
  const probe = createProber(LIMITS)
  const cause = new Error('secret-of-the-sdk')
  const get = fail(new AppError('BUCKET_UNAVAILABLE', 'No definite answer.', { cause }))
  const failed = await probe(STREAM, async () => ({ ...bucket, get }))
  expect(failed).toEqual({ ok: false, step: 'get', reason: 'unavailable', message: 'No definite answer.' })
  const odd = await probe(STREAM, async () => ({ ...bucket, get: fail(cause) }))
  expect(odd).toMatchObject({ ok: false, step: 'get', reason: 'unavailable' })
  expect(JSON.stringify(odd)).not.toContain('secret-of-the-sdk')
  expect(await files()).toEqual([])
})

test('a bucket that gives other bytes, or no end of them, is no good', async () => {
  const probe = createProber(LIMITS)
  const endless = async (): Promise<Readable> =>
    Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(1_024)
      })(),
    )
  const gets: readonly Bucket['get'][] = [async () => undefined, async () => Readable.from([Buffer.from('x')]), endless]
  for (const get of gets) {
    const result = await probe(STREAM, async () => ({ ...bucket, get }))
    expect(result).toMatchObject({ ok: false, step: 'get', reason: 'invalid' })
  }
})

test('the answer to a write that got lost is no fault', async () => {
  const conflict = async (...[key, body, options]: Parameters<Bucket['put']>): Promise<void> => {
    await bucket.put(key, body, options)
    throw new AppError('BUCKET_CONFLICT', 'There is such an object.')
  }
  expect(await createProber(LIMITS)(STREAM, async () => ({ ...bucket, put: conflict }))).toMatchObject({ ok: true })
})

test('a bucket that never answers is given up in time, and keeps its place until it lets go', async () => {
  const probe = createProber(LIMITS)
  const { promise: never, resolve } = Promise.withResolvers<void>()
  const deaf = async (): Promise<Bucket> => ({ ...bucket, put: () => never })
  const startedAtMs = performance.now()
  const [one, two] = await Promise.all([probe(STREAM, deaf), probe(STREAM, deaf)])
  expect(performance.now() - startedAtMs).toBeLessThan(2_000)
  expect([one, two]).toMatchObject([
    { ok: false, step: 'put', reason: 'unavailable' },
    { ok: false, step: 'put', reason: 'unavailable' },
  ])
  // Two of one project, three in all.
  await expect(probe(STREAM, deaf)).rejects.toMatchObject({ code: 'RateLimitExceededError' })
  const third = probe({ ...STREAM, projectId: 'p2' }, deaf)
  await expect(probe({ ...STREAM, projectId: 'p3' }, deaf)).rejects.toMatchObject({ code: 'RateLimitExceededError' })
  resolve()
  await third
  await new Promise((done) => setTimeout(done, 50))
  expect(await probe(STREAM, async () => bucket)).toMatchObject({ ok: true })
})
