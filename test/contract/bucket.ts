import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bodyOf, readWhole } from '../../services/shared/bucket/body.ts'
import { prefixedBucket } from '../../services/shared/bucket/prefixed.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'

const signal = AbortSignal.timeout(600_000)
const options = { contentType: 'application/octet-stream', signal }
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )

/** What every bucket promises. `open` gives an empty one each time; `openMissing` one that is not there. */
export function bucketContract(name: string, open: () => Promise<Bucket>, openMissing?: () => Promise<Bucket>): void {
  describe(`${name} bucket`, () => {
    let bucket: Bucket
    const keysOf = async (prefix: string, after?: string): Promise<string[]> => {
      const found: string[] = []
      for await (const { key } of bucket.list(prefix, after === undefined ? { signal } : { after, signal }))
        found.push(key)
      return found
    }
    const text = async (key: string): Promise<string | undefined> => (await readWhole(bucket, key, signal))?.toString()

    beforeAll(async () => {
      bucket = await open()
    })
    afterAll(async () => bucket.close())

    it('gives back what was put, with its size and metadata', async () => {
      const metadata = { 'content-sha256': 'ab'.repeat(32), events: '12' }
      await bucket.put('a/b/one.txt', bodyOf('one'), { ...options, metadata })
      expect(await text('a/b/one.txt')).toBe('one')
      expect(await bucket.head('a/b/one.txt', signal)).toEqual({ key: 'a/b/one.txt', bytes: 3, metadata })
    })

    it('takes an object of no bytes', async () => {
      await bucket.put('empty', bodyOf(''), options)
      expect(await bucket.head('empty', signal)).toMatchObject({ bytes: 0 })
      expect(await text('empty')).toBe('')
    })

    it('gives a part of an object, and fails where it ends before the part does', async () => {
      const bytes = randomBytes(300_000)
      await bucket.put('part/whole', bodyOf(bytes), options)
      const part = async (at: number, length: number): Promise<Buffer | undefined> => {
        const stream = await bucket.get('part/whole', signal, { at, bytes: length })
        return stream && buffer(stream)
      }
      for (const [at, length] of [
        [0, 1],
        [0, 300_000],
        [1, 200_000],
        [70_000, 140_000],
        [299_999, 1],
      ] as const) {
        expect((await part(at, length))?.equals(bytes.subarray(at, at + length))).toBe(true)
      }
      expect(await codeOf(part(299_990, 11))).toMatch(/^BUCKET_/)
      expect(await codeOf(part(0, 300_001))).toMatch(/^BUCKET_/)
      expect(await codeOf(part(300_000, 1))).toMatch(/^BUCKET_/)
      expect(await bucket.get('part/none', signal, { at: 0, bytes: 1 })).toBeUndefined()
      const seen = await prefixedBucket(bucket, 'part/').get('whole', signal, { at: 5, bytes: 3 })
      expect(seen && (await buffer(seen)).equals(bytes.subarray(5, 8))).toBe(true)
    })

    it('knows of no object that is not there', async () => {
      expect(await bucket.head('nobody', signal)).toBeUndefined()
      expect(await bucket.get('nobody', signal)).toBeUndefined()
      expect(await bucket.head('a/b', signal)).toBeUndefined()
      await bucket.delete('nobody', signal)
    })

    it('never replaces an object', async () => {
      await bucket.put('once', bodyOf('first'), { ...options, metadata: { by: 'first' } })
      expect(await codeOf(bucket.put('once', bodyOf('second'), { ...options, metadata: { by: 'second' } }))).toBe(
        'BUCKET_CONFLICT',
      )
      expect(await text('once')).toBe('first')
      expect((await bucket.head('once', signal))?.metadata).toEqual({ by: 'first' })
    })

    it('lets one of several writers at once win, and tells the others', async () => {
      const writers = Array.from({ length: 8 }, (_, i) => `writer ${i}`)
      const ends = await Promise.all(
        writers.map(async (who) => codeOf(bucket.put('race', bodyOf(who), { ...options, metadata: { who } }))),
      )
      const won = writers.filter((_, i) => ends[i] === 'resolved')
      // A server may say to a writer that it is to try again: it has not won.
      const others = ends.filter((end) => end === 'BUCKET_CONFLICT' || end === 'BUCKET_UNAVAILABLE')
      expect(won).toHaveLength(1)
      expect(others).toHaveLength(writers.length - 1)
      expect(await text('race')).toBe(won[0])
      expect((await bucket.head('race', signal))?.metadata).toEqual({ who: won[0] })
    })

    it('takes an object of many parts, once', async () => {
      const bytes = randomBytes(13 * 1024 * 1024)
      const large = { bytes: bytes.length, open: () => Readable.from(chunksOf(bytes), { objectMode: false }) }
      const metadata = { 'content-sha256': createHash('sha256').update(bytes).digest('hex') }
      await bucket.put('large', large, { ...options, metadata })
      const stream = await bucket.get('large', signal)
      expect(stream && (await buffer(stream)).equals(bytes)).toBe(true)
      expect(await bucket.head('large', signal)).toMatchObject({ bytes: bytes.length, metadata })
      expect(await codeOf(bucket.put('large', large, options))).toBe('BUCKET_CONFLICT')
    })

    it('shows nothing of an upload that broke off', async () => {
      async function* half(): AsyncGenerator<Buffer> {
        for (let i = 0; i < 12; i++) yield randomBytes(1024 * 1024)
        throw new Error('the disk failed')
      }
      const broken = { bytes: 24 * 1024 * 1024, open: () => Readable.from(half(), { objectMode: false }) }
      expect(await codeOf(bucket.put('broken', broken, options))).not.toBe('resolved')
      expect(await bucket.head('broken', signal)).toBeUndefined()
      expect(await keysOf('broken')).toEqual([])
      await bucket.put('broken', bodyOf('whole'), options)
      expect(await text('broken')).toBe('whole')
    })

    it('lists keys by prefix in the order of their bytes, from after a key on', async () => {
      // None is another's folder: servers that keep files, as those of the tests do, cannot hold both.
      const keys = ['l/a-b/1', 'l/a/1', 'l/a0', 'l/b/2025-01-01/x', 'l/b/2025-01-02/x', 'l/ä', 'l/𝄞', 'm/a']
      for (const key of keys) await bucket.put(key, bodyOf(key), options)
      const inOrder = keys
        .filter((key) => key.startsWith('l/'))
        .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await keysOf('l/')).toEqual(inOrder)
      expect(await keysOf('l/b/2025-01-')).toEqual(['l/b/2025-01-01/x', 'l/b/2025-01-02/x'])
      for (const [index, key] of inOrder.entries()) expect(await keysOf('l/', key)).toEqual(inOrder.slice(index + 1))
      expect(await keysOf('l/', 'l/b')).toEqual(
        inOrder.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from('l/b')) > 0),
      )
      expect(await keysOf('none/')).toEqual([])
    })

    it('goes through more objects than one page holds', async () => {
      const keys = Array.from({ length: 1_100 }, (_, i) => `many/${String(i).padStart(5, '0')}`)
      for (let start = 0; start < keys.length; start += 50) {
        await Promise.all(keys.slice(start, start + 50).map(async (key) => bucket.put(key, bodyOf('x'), options)))
      }
      expect(await keysOf('many/')).toEqual(keys)
      expect(await keysOf('many/', 'many/01000')).toEqual(keys.slice(1_001))
    })

    it('keeps names apart that a careless one would mix up', async () => {
      const keys = [
        'odd/a b',
        'odd/a%20b',
        'odd/a+b',
        'odd/a?b=c&d',
        'odd/a#b',
        "odd/'quoted'",
        'odd/ünï/çø',
        'odd/%2F',
      ]
      for (const key of keys) await bucket.put(key, bodyOf(key), options)
      for (const key of keys) expect(await text(key)).toBe(key)
      expect((await keysOf('odd/')).toSorted()).toEqual(keys.toSorted())
    })

    it.each(['', '/a', 'a/', 'a//b', '../up', 'a/../b', './a', 'a\0b', 'x'.repeat(1_025)])(
      'refuses the key %j before anything is sent',
      async (key) => {
        await expect(bucket.put(key, bodyOf('x'), options)).rejects.toMatchObject({
          code: 'BUCKET_REFUSED',
          details: { reason: 'invalid' },
        })
      },
    )

    it('deletes, once and again; the key can be written anew', async () => {
      await bucket.put('gone', bodyOf('first'), options)
      await bucket.delete('gone', signal)
      await bucket.delete('gone', signal)
      expect(await bucket.head('gone', signal)).toBeUndefined()
      await bucket.put('gone', bodyOf('second'), options)
      expect(await text('gone')).toBe('second')
    })

    it('can be seen in part, as a bucket of its own', async () => {
      const part = prefixedBucket(bucket, 'part/of/')
      await part.put('x/1', bodyOf('1'), options)
      await part.put('x/2', bodyOf('2'), options)
      expect(await text('part/of/x/1')).toBe('1')
      const found = []
      for await (const { key } of part.list('x/', { after: 'x/1', signal })) found.push(key)
      expect(found).toEqual(['x/2'])
      expect(await part.head('x/2', signal)).toMatchObject({ key: 'x/2', bytes: 1 })
    })

    it.skipIf(openMissing === undefined)('says that a bucket is not there', async () => {
      const missing = await openMissing?.()
      if (missing === undefined) return
      const reading = async () => {
        for await (const _ of missing.list('', { signal })) break
      }
      for (const act of [
        async () => missing.put('a', bodyOf('x'), options),
        async () => missing.head('a', signal),
        async () => missing.get('a', signal),
        reading,
      ]) {
        await expect(act()).rejects.toMatchObject({ code: 'BUCKET_REFUSED', details: { reason: 'no_bucket' } })
      }
      await missing.close()
    })
  })
}

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += 100_000) yield bytes.subarray(start, start + 100_000)
}
