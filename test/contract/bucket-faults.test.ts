import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openGcsBucket } from '../../services/shared/bucket/gcs/open.ts'
import type { Bucket, ObjectBody, ObjectMetadata } from '../../services/shared/bucket/port.ts'
import { probeBucket } from '../../services/shared/bucket/probe.ts'
import { openS3Bucket } from '../../services/shared/bucket/s3/open.ts'
import type { S3Settings } from '../../services/shared/bucket/s3/settings.ts'
import { hasCode } from '../../services/shared/errors.ts'
import { type BucketFault, type BucketProxy, startBucketProxy } from '../support/bucket-proxy.ts'
import type { BucketStep } from '../support/bucket-steps.ts'
import { gcsSettingsOf, makeGcsBucket, makeS3Bucket, s3SettingsOf } from '../support/buckets.ts'
import { bucketServers, bucketsMissing } from '../support/servers.ts'

const KIB = 1024
const PATIENCE_MS = 20_000
const SILENCE_MS = 1_000

interface Kind {
  readonly name: string
  readonly server: () => string
  readonly make: () => Promise<string>
  /** A bucket that is talked to at `url`. */
  readonly open: (bucket: string, url: string, silenceMs?: number) => Bucket
  /** Of an object that goes up in three requests besides the first and the last. */
  readonly largeBytes: number
}

const KINDS: readonly Kind[] = [
  {
    name: 'S3',
    server: () => bucketServers().s3,
    make: makeS3Bucket,
    open: (bucket, url, silenceMs = SILENCE_MS) => openS3Bucket({ ...s3SettingsOf(bucket, url), silenceMs }),
    largeBytes: 11 * KIB * KIB,
  },
  {
    name: 'GCS',
    server: () => bucketServers().gcs,
    make: makeGcsBucket,
    open: (bucket, url, silenceMs = SILENCE_MS) =>
      openGcsBucket({ ...gcsSettingsOf(bucket, url), chunkBytes: 256 * KIB, attempts: 3, retryDelayMs: 20, silenceMs }),
    largeBytes: 1_000 * KIB,
  },
]

const UPLOADING: ReadonlySet<BucketStep> = new Set(['create', 'part', 'complete', 'put'])
const LARGE: ReadonlySet<BucketStep> = new Set(['create', 'part', 'complete'])
const STEPS = ['create', 'part', 'complete', 'put', 'list', 'head', 'get', 'delete'] as const
const PASSING: ReadonlySet<BucketFault> = new Set(['too_many', 'error', 'busy'])
const FAULTS = ['too_many', 'error', 'busy', 'reset', 'lost', 'slow', 'silent'] as const
const CASES = [
  ...STEPS.flatMap((step) => FAULTS.map((fault) => ({ step, fault }) as const)),
  { step: 'get', fault: 'cut' } as const,
]

interface Content {
  readonly bytes: Buffer
  readonly metadata: ObjectMetadata
  readonly body: ObjectBody
}

function contentOf(size: number): Content {
  const bytes = randomBytes(size)
  const metadata = { 'content-sha256': createHash('sha256').update(bytes).digest('hex') }
  const chunks = Array.from({ length: Math.ceil(size / 100_000) }, (_, i) =>
    bytes.subarray(i * 100_000, (i + 1) * 100_000),
  )
  return { bytes, metadata, body: { bytes: size, open: () => Readable.from(chunks, { objectMode: false }) } }
}

/** Fails when the call hangs. */
async function ended<T>(call: Promise<T>, ms = PATIENCE_MS): Promise<T> {
  const timeout = new AbortController()
  const late = sleep(ms, undefined, { signal: timeout.signal, ref: false }).then(() => {
    throw new Error(`a call did not end in ${ms} ms`)
  })
  try {
    return await Promise.race([call, late])
  } finally {
    timeout.abort()
    late.catch(() => {})
  }
}

const signalOf = (): AbortSignal => AbortSignal.timeout(60_000)
const put = async (bucket: Bucket, key: string, { body, metadata }: Content): Promise<void> =>
  ended(bucket.put(key, body, { contentType: 'application/octet-stream', metadata, signal: signalOf() }))
const head = async (bucket: Bucket, key: string) => ended(bucket.head(key, signalOf()))
const read = async (bucket: Bucket, key: string): Promise<Buffer | undefined> => {
  const stream = await ended(bucket.get(key, signalOf()))
  return stream && ended(buffer(stream))
}
const keysOf = async (bucket: Bucket, prefix: string, signal = signalOf()): Promise<string[]> => {
  const keys = async (): Promise<string[]> => {
    const found = []
    for await (const { key } of bucket.list(prefix, { signal })) found.push(key)
    return found
  }
  return ended(keys())
}

/** As whoever writes files does it: again while the answer is unknown; and what is there already is right if it says that it is the same. */
async function putAtLast(bucket: Bucket, key: string, content: Content): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await put(bucket, key, content)
    } catch (error) {
      if (hasCode(error, 'BUCKET_CONFLICT')) {
        const there = await head(bucket, key)
        if (there?.metadata['content-sha256'] === content.metadata['content-sha256']) return
        throw error
      }
      if (!hasCode(error, 'BUCKET_UNAVAILABLE') || attempt === 5) throw error
    }
  }
}

const refusal = (reason: string) => ({ code: 'BUCKET_REFUSED', details: { reason } })
const missing = bucketsMissing()

describe.skipIf(missing !== undefined)(`in front of real servers${missing === undefined ? '' : `: ${missing}`}`, () => {
  describe.each(KINDS)('$name', (kind) => {
    let name: string
    /** The same bucket, past the proxy. */
    let direct: Bucket
    beforeAll(async () => {
      name = await kind.make()
      direct = kind.open(name, kind.server(), 30_000)
    })
    afterAll(async () => direct.close())

    /** Each case has a proxy of its own, so that they can run side by side. */
    const withProxy = async (
      act: (bucket: Bucket, proxy: BucketProxy) => Promise<void>,
      silenceMs?: number,
    ): Promise<void> => {
      const proxy = await startBucketProxy(kind.server())
      const bucket = kind.open(name, proxy.url, silenceMs)
      try {
        await act(bucket, proxy)
      } finally {
        await bucket.close()
        await proxy.stop()
      }
    }

    /** One call of the step, for the object `key`, which holds `content` before it unless the step writes it. */
    const call = async (bucket: Bucket, step: BucketStep, key: string, content: Content): Promise<void> => {
      if (UPLOADING.has(step)) return put(bucket, key, content)
      if (step === 'list') expect(await keysOf(bucket, key)).toEqual([key])
      if (step === 'head') expect(await head(bucket, key)).toMatchObject({ bytes: content.bytes.length })
      if (step === 'get') expect((await read(bucket, key))?.equals(content.bytes)).toBe(true)
      if (step === 'delete') await ended(bucket.delete(key, signalOf()))
    }

    const visible = async (key: string, content: Content): Promise<'whole' | 'nothing'> => {
      const bytes = await read(direct, key)
      const there = await head(direct, key)
      expect(await keysOf(direct, key)).toEqual(bytes === undefined ? [] : [key])
      if (bytes === undefined) {
        expect(there).toBeUndefined()
        return 'nothing'
      }
      expect(bytes.equals(content.bytes)).toBe(true)
      expect(there).toEqual({ key, bytes: content.bytes.length, metadata: content.metadata })
      return 'whole'
    }

    const survives = async (step: BucketStep, fault: BucketFault, times: number | undefined): Promise<void> =>
      withProxy(async (bucket, proxy) => {
        const key = `${step}/${fault}/${times ?? 'always'}`
        const content = contentOf(LARGE.has(step) ? kind.largeBytes : 100 * KIB)
        if (!UPLOADING.has(step)) await put(direct, key, content)
        proxy.on({ step, fault, ...(times !== undefined && { times }), keys: (one) => one === key })
        const end = await call(bucket, step, key, content).then(
          () => 'resolved',
          (error: unknown) => (error as { code?: string }).code ?? String(error),
        )
        expect(proxy.injected(step, fault)).toBeGreaterThan(0)
        const mayConflict = UPLOADING.has(step) && fault !== 'slow'
        expect(['resolved', 'BUCKET_UNAVAILABLE', ...(mayConflict ? ['BUCKET_CONFLICT'] : [])]).toContain(end)
        if (fault === 'slow') expect(end).toBe('resolved')
        if (times === 1 && PASSING.has(fault)) expect(end).toBe('resolved')
        // Asked how far an upload got, Cloud Storage says what its lost answers said.
        const isTold = kind.name === 'GCS' && fault === 'lost' && (step === 'part' || step === 'complete')
        if (isTold) expect(end).toBe('resolved')
        if (times === undefined && fault !== 'slow' && !isTold) expect(end).not.toBe('resolved')

        const seen = await visible(key, content)
        if (end === 'BUCKET_CONFLICT') expect(seen).toBe('whole')
        if (end === 'resolved') expect(seen).toBe(step === 'delete' ? 'nothing' : 'whole')

        proxy.off()
        if (UPLOADING.has(step)) await putAtLast(bucket, key, content)
        else if (step !== 'delete' || seen === 'whole') await call(bucket, step, key, content)
        expect(await visible(key, content)).toBe(step === 'delete' ? 'nothing' : 'whole')
      })

    describe.concurrent('comes through', () => {
      it.each(CASES)('$fault at $step, once', async ({ step, fault }) => survives(step, fault, 1))
      it.each(CASES)('$fault at $step, for as long as it lasts', async ({ step, fault }) =>
        survives(step, fault, undefined),
      )
    })

    describe.concurrent('says who must act', () => {
      const refuses = async (step: BucketStep, fault: BucketFault, reason: string): Promise<void> =>
        withProxy(async (bucket, proxy) => {
          const key = `${step}/${fault}`
          const content = contentOf(LARGE.has(step) ? kind.largeBytes : KIB)
          if (!UPLOADING.has(step)) await put(direct, key, content)
          proxy.on({ step, fault })
          // Asked whether the bucket is there, the service says the same.
          if (fault === 'no_bucket') proxy.on({ step: 'other', fault })
          await expect(call(bucket, step, key, content)).rejects.toMatchObject(refusal(reason))
          // To send it again would change nothing; but two parts may be under way at once.
          const times = proxy.injected(step, fault)
          expect(times).toBeGreaterThan(0)
          expect(times).toBeLessThanOrEqual(step === 'part' ? 2 : 1)
          expect(await visible(key, content)).toBe(UPLOADING.has(step) ? 'nothing' : 'whole')
        })
      it.each(STEPS)('forbidden at %s', async (step) => refuses(step, 'forbidden', 'forbidden'))
      it.each(STEPS)('not signed in at %s', async (step) => refuses(step, 'no_login', 'credentials'))
      // A session of Cloud Storage that is gone says nothing of the bucket.
      it.each(STEPS.filter((step) => kind.name === 'S3' || !['part', 'complete'].includes(step)))(
        'no bucket at %s',
        async (step) => refuses(step, 'no_bucket', 'no_bucket'),
      )
      it.each(['create', 'complete', 'put'] as const)('a service without conditional writes at %s', async (step) =>
        refuses(step, 'unknown_header', 'invalid'),
      )
    })

    describe.concurrent('ends with its signal', () => {
      it.each(STEPS)('while %s is without an answer', async (step) =>
        withProxy(async (bucket, proxy) => {
          const key = `aborted/${step}`
          const content = contentOf(LARGE.has(step) ? kind.largeBytes : 100 * KIB)
          if (!UPLOADING.has(step)) await put(direct, key, content)
          proxy.on({ step, fault: 'silent' })
          const abort = new AbortController()
          const { signal } = abort
          const aborting = async (): Promise<number> => {
            while (proxy.injected(step, 'silent') === 0) await sleep(10)
            await sleep(50)
            abort.abort(new Error('shutting down'))
            return performance.now()
          }
          const asked = async (): Promise<unknown> => {
            const options = { contentType: 'text/plain', signal }
            if (UPLOADING.has(step)) return bucket.put(key, content.body, options)
            if (step === 'head') return bucket.head(key, signal)
            if (step === 'delete') return bucket.delete(key, signal)
            if (step === 'list') return keysOf(bucket, key, signal)
            const stream = await bucket.get(key, signal)
            return stream && buffer(stream)
          }
          const [abortedAt] = await Promise.all([
            aborting(),
            expect(ended(asked())).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' }),
          ])
          expect(performance.now() - abortedAt).toBeLessThan(3_000)
          expect(await visible(key, content)).toBe(UPLOADING.has(step) ? 'nothing' : 'whole')
        }, 60_000),
      )

      it('before it began', async () => {
        const signal = AbortSignal.abort(new Error('shutting down'))
        const small = contentOf(KIB)
        for (const asked of [
          async () => direct.put('never', small.body, { contentType: 'text/plain', signal }),
          async () => direct.put('never', contentOf(kind.largeBytes).body, { contentType: 'text/plain', signal }),
          async () => direct.head('never', signal),
          async () => direct.get('never', signal),
          async () => direct.delete('never', signal),
          async () => keysOf(direct, 'never', signal),
        ])
          await expect(ended<unknown>(asked(), 2_000)).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
        expect(await keysOf(direct, 'never')).toEqual([])
      })

      it('when a stream that nobody reads yet is let go of', async () => {
        await put(direct, 'unread', contentOf(1_000 * KIB))
        const abort = new AbortController()
        const stream = await direct.get('unread', abort.signal)
        abort.abort(new Error('shutting down'))
        await sleep(50)
        await expect(ended(buffer(stream ?? Readable.from([])))).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
      })
    })

    it.each([
      ['small', 100 * KIB],
      ['large', kind.largeBytes],
    ])('makes no object of a %s body of another length than it says', async (size, bytes) => {
      const { body } = contentOf(bytes)
      for (const said of [bytes - 1, bytes + 1]) {
        const key = `length/${size}/${said}`
        await expect(put(direct, key, { ...contentOf(0), body: { ...body, bytes: said } })).rejects.toThrow()
        expect(await keysOf(direct, key)).toEqual([])
      }
    })

    it('leaves alone what another wrote, though an answer got lost', async () =>
      withProxy(async (bucket, proxy) => {
        const theirs = contentOf(KIB)
        await put(direct, 'theirs', theirs)
        proxy.on({ step: 'put', fault: 'lost', times: 1 })
        await expect(putAtLast(bucket, 'theirs', contentOf(KIB))).rejects.toMatchObject({ code: 'BUCKET_CONFLICT' })
        expect(proxy.injected('put', 'lost')).toBe(1)
        expect(await visible('theirs', theirs)).toBe('whole')
      }))

    it('gives no part of an object that broke off', async () =>
      withProxy(async (bucket, proxy) => {
        const content = contentOf(100 * KIB)
        await put(direct, 'in-parts', content)
        const range = { at: 1_000, bytes: 50_000 }
        const part = async (): Promise<Buffer> =>
          buffer((await bucket.get('in-parts', signalOf(), range)) ?? Readable.from([]))
        for (const fault of ['cut', 'reset', 'silent'] as const) {
          proxy.on({ step: 'get', fault })
          await expect(ended(part())).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
          proxy.off()
        }
        expect((await part()).equals(content.bytes.subarray(1_000, 51_000))).toBe(true)
      }))

    it('passes the probe, and leaves nothing of it', async () => {
      await probeBucket(direct, signalOf())
      expect(await keysOf(direct, 'tributary-probe/')).toEqual([])
    })
  })

  it('knows wrong credentials of S3', async () => {
    const name = await makeS3Bucket()
    const settings = s3SettingsOf(name)
    for (const wrong of [{ accessKeyId: 'nobody' }, { secretAccessKey: 'not-the-secret' }]) {
      const credentials = { ...settings.credentials, ...wrong } as S3Settings['credentials']
      const bucket = openS3Bucket({ ...settings, credentials })
      await expect(put(bucket, 'a', contentOf(10))).rejects.toMatchObject(refusal('credentials'))
      await expect(keysOf(bucket, '')).rejects.toMatchObject(refusal('credentials'))
      await bucket.close()
    }
  })

  it('knows a private key of Cloud Storage that is none', async () => {
    const credentials = { kind: 'static', clientEmail: 'a@b.iam.gserviceaccount.com', privateKey: 'no key' } as const
    const bucket = openGcsBucket({ ...gcsSettingsOf('any'), credentials })
    await expect(put(bucket, 'a', contentOf(10))).rejects.toMatchObject(refusal('credentials'))
    await expect(head(bucket, 'a')).rejects.toMatchObject(refusal('credentials'))
    await bucket.close()
  })

  it('sends a body to a server that never says that it may come', async () => {
    const proxy = await startBucketProxy(bucketServers().s3, { saysContinue: false })
    const bucket = openS3Bucket(s3SettingsOf(await makeS3Bucket(), proxy.url))
    const content = contentOf(3 * KIB * KIB)
    await put(bucket, 'patient', content)
    expect((await read(bucket, 'patient'))?.equals(content.bytes)).toBe(true)
    expect(proxy.seen('put')).toBe(1)
    await bucket.close()
    await proxy.stop()
  })

  it.each([
    ['S3', (url: string) => openS3Bucket(s3SettingsOf('any', url))],
    ['Cloud Storage', (url: string) => openGcsBucket(gcsSettingsOf('any', url))],
  ])('takes no whole object for a part of one: %s', async (_name, open) => {
    const server = createServer((from, to) => {
      from.resume().once('end', () => to.writeHead(200, { etag: '"1"' }).end('the whole object'))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bucket = open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    for (const range of [
      { at: 4, bytes: 5 },
      { at: 0, bytes: 16 },
    ]) {
      const asked = bucket.get('any', signalOf(), range)
      await expect(ended(asked)).rejects.toMatchObject({ code: 'BUCKET_UNAVAILABLE' })
    }
    await bucket.close()
    server.closeAllConnections()
    server.close()
  })

  it('finds out a service that replaces objects in spite of the condition', async () => {
    const server = createServer((from, to) => {
      from.resume().once('end', () => to.writeHead(from.method === 'DELETE' ? 204 : 200, { etag: '"1"' }).end())
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bucket = openS3Bucket(s3SettingsOf('any', `http://127.0.0.1:${(server.address() as AddressInfo).port}`))
    await expect(ended(probeBucket(bucket, signalOf()))).rejects.toMatchObject({
      ...refusal('invalid'),
      message: expect.stringContaining('If-None-Match') as unknown,
    })
    await bucket.close()
    server.closeAllConnections()
    server.close()
  })
})
