import { hash } from 'node:crypto'

const BYTES = 16

/** The key that all events with one `keen.uniqueness_token` share within a collection. */
export const tokenRepeatKey = (project: string, collection: string, token: string): Buffer =>
  repeatKey(['tributary.repeat.token.v1', project, collection, token])

/** The key that an event shares with itself in repeats of its request. `index` is its place within its collection. */
export const requestRepeatKey = (project: string, collection: string, idempotencyKey: string, index: number): Buffer =>
  repeatKey(['tributary.repeat.request.v1', project, collection, idempotencyKey, index])

/** JSON puts the parts together without ambiguity, and the first one keeps the kinds of keys apart. */
const repeatKey = (parts: readonly (string | number)[]): Buffer =>
  hash('sha256', JSON.stringify(parts), 'buffer').subarray(0, BYTES)
