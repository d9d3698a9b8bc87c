import type { FastifyRequest } from 'fastify'

/**
 * The key that a request presents: a non-empty `Authorization` header (the raw key; a scheme word `Bearer` is
 * forgiven), else the parameter `api_key`. The header wins because some SDKs send it together with a literal
 * `api_key=undefined`.
 */
export function presentedKey(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization?.replace(/^Bearer\s+/i, '').trim()
  if (header !== undefined && header !== '') return header
  const parameter = (request.query as Readonly<Record<string, unknown>>)['api_key']
  const last: unknown = Array.isArray(parameter) ? parameter.at(-1) : parameter
  return typeof last === 'string' && last !== '' ? last : undefined
}
