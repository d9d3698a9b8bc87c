import { AppError } from '../errors.ts'

const KEY_BYTES_MAX = 1_024

/** Throws BUCKET_REFUSED (`invalid`) for a key that not every kind of bucket can hold. */
export function checkKey(key: string): void {
  const parts = key.split('/')
  const isSound =
    Buffer.byteLength(key) <= KEY_BYTES_MAX &&
    !/\p{Cc}|\p{Cs}/u.test(key) &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..')
  if (!isSound) {
    throw new AppError('BUCKET_REFUSED', 'A name is too long, or not one that buckets take.', {
      details: { reason: 'invalid' },
    })
  }
}
