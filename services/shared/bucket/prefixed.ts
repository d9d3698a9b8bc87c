import type { Bucket, ListedObject } from './port.ts'

/** The part of a bucket whose keys start with `prefix`, which ends with a slash or is empty, as a bucket of its own. */
export function prefixedBucket(bucket: Bucket, prefix: string): Bucket {
  if (prefix === '') return bucket
  const own = (key: string): string => key.slice(prefix.length)
  return {
    kind: bucket.kind,
    description: `${bucket.description}/${prefix}`,
    put: (key, body, options) => bucket.put(prefix + key, body, options),
    async head(key, signal) {
      const found = await bucket.head(prefix + key, signal)
      return found && { ...found, key }
    },
    get: (key, signal, range) => bucket.get(prefix + key, signal, range),
    async *list(start, { after, signal }): AsyncGenerator<ListedObject> {
      const options = after === undefined ? { signal } : { after: prefix + after, signal }
      for await (const { key, bytes } of bucket.list(prefix + start, options)) yield { key: own(key), bytes }
    },
    delete: (key, signal) => bucket.delete(prefix + key, signal),
    close: () => bucket.close(),
  }
}
