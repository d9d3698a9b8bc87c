import type { FastifyRequest } from 'fastify'

const BEARER = /^bearer\s+/i

const usable = (key: string): string | undefined =>
  key === '' || key === 'undefined' || key === 'null' ? undefined : key

/**
 * The key of a request. A header `Authorization` that is not empty wins and `api_key` is then not looked at: some SDKs
 * send the right key in the header beside a literal `api_key=undefined`. Undefined when there is none.
 */
export function presentedKey(request: Pick<FastifyRequest, 'headers' | 'query'>): string | undefined {
  const header = request.headers.authorization?.trim()
  if (header !== undefined && header !== '') return usable(header.replace(BEARER, ''))
  const given = queryValue(request, 'api_key')
  return given === undefined ? undefined : usable(given.trim())
}

/** A parameter of the query string; the first one when it stands there more than once. */
export function queryValue(request: Pick<FastifyRequest, 'query'>, name: string): string | undefined {
  const query = request.query
  if (typeof query !== 'object' || query === null || !Object.hasOwn(query, name)) return undefined
  const value: unknown = Reflect.get(query, name)
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : undefined
}
