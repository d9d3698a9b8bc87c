import type { CollectionOutcome } from './recorder.ts'

export const CREATED = '{"created":true}'
export const JSON_TYPE = 'application/json; charset=utf-8'

const SUCCESS = '{"success":true}'

/** The answer to a bulk request: for each event, under its collection and at its place, whether it was taken. */
export function bulkAnswer(outcomes: readonly CollectionOutcome[]): string {
  const collections = outcomes.map(({ collection, count, faults }) => {
    const name = JSON.stringify(collection)
    if (faults.size === 0) return `${name}:[${`${SUCCESS},`.repeat(count).slice(0, -1)}]`
    const results: string[] = Array.from({ length: count }, () => SUCCESS)
    for (const [i, { code, message }] of faults) {
      results[i] = JSON.stringify({ success: false, error: { name: code, description: message } })
    }
    return `${name}:[${results.join(',')}]`
  })
  return `{${collections.join(',')}}`
}

/** One transparent pixel, for recording by an image's address. */
export const PIXEL = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
