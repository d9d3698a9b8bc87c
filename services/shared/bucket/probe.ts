import { randomUUID } from 'node:crypto'
import { AppError, hasCode } from '../errors.ts'
import { bodyOf, readWhole } from './body.ts'
import type { Bucket } from './port.ts'

const PLACE = 'tributary-probe/'

/**
 * Whether a bucket does what is asked of one, by an object of its own that is gone afterwards: for when somebody names
 * a bucket, and before anything is trusted to it. Rejects as the calls do; with BUCKET_REFUSED (`invalid`, and
 * `details.breaks`, which no other refusal has, is `promise`) where the service replaces an object in spite of
 * `If-None-Match`, as some do that speak S3 without knowing that header.
 */
export async function probeBucket(bucket: Bucket, signal: AbortSignal): Promise<void> {
  const key = `${PLACE}${randomUUID()}`
  const put = async (text: string): Promise<'written' | 'there'> => {
    try {
      await bucket.put(key, bodyOf(text), { contentType: 'text/plain', signal })
      return 'written'
    } catch (error) {
      if (hasCode(error, 'BUCKET_CONFLICT')) return 'there'
      throw error
    }
  }
  try {
    await put('first')
    const isReplaced =
      (await put('second')) === 'written' || (await readWhole(bucket, key, signal))?.toString() !== 'first'
    if (isReplaced) throw refused('The service replaces objects in spite of `If-None-Match`.')
    let isListed = false
    for await (const found of bucket.list(key, { signal })) isListed ||= found.key === key
    if (!isListed) throw refused('The service does not list an object that was just written.')
  } catch (error) {
    // Why it failed is what matters, not that the clean-up may fail for the same reason.
    await bucket.delete(key, signal).catch(() => {})
    throw error
  }
  await bucket.delete(key, signal)
}

const refused = (message: string): AppError =>
  new AppError('BUCKET_REFUSED', message, { details: { reason: 'invalid', breaks: 'promise' } })
