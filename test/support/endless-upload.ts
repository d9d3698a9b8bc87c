import { setTimeout as sleep } from 'node:timers/promises'
import { Readable } from 'node:stream'
import { openS3Bucket } from '../../services/shared/bucket/s3/open.ts'
import { s3SettingsOf } from './buckets.ts'

/** Run as a program with a bucket's name, the server's address and a key: an upload that never comes to its end. */
async function* endless(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(12 * 1024 * 1024)
  for (;;) await sleep(1_000)
}

const [name = '', url = '', key = ''] = process.argv.slice(2)
const body = { bytes: 100 * 1024 * 1024, open: () => Readable.from(endless(), { objectMode: false }) }
const signal = new AbortController().signal
await openS3Bucket(s3SettingsOf(name, url)).put(key, body, { contentType: 'application/octet-stream', signal })
