import { randomBytes } from 'node:crypto'

/** What may stand in a log line and a header without being quoted. */
const SANE = /^[A-Za-z0-9_.:-]{1,64}$/

/** Names requests: a caller's own `X-Request-Id` if it is sane, else one that no other process gives. */
export function createRequestIds(): (given: string | string[] | undefined) => string {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return (given) => {
    if (typeof given === 'string' && SANE.test(given)) return given
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}
