import type { FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'
import { isDeeperThan, jsonText, parseJsonText } from '../shared/http/json.ts'
import { presentedKey } from '../shared/http/presented-key.ts'
import type { Authenticator, Grant } from '../shared/registry/grant.ts'
import { mayHaveLoneSurrogates, parseExactly } from './domain/exact-json.ts'

/** Whoever records. Throws ResourceNotFoundError, InvalidApiKeyError or KeyNotAuthorizedError, in this order. */
export function authorize(authenticator: Authenticator, request: FastifyRequest): Grant {
  const grant = authenticator.authenticate(parameter(request, 'projectId'), presentedKey(request))
  if (grant.permitted.has('writes')) return grant
  throw new AppError('KeyNotAuthorizedError', 'This key may not record events.')
}

/** A parameter of the path; empty when the route has none of this name. */
export function parameter(request: FastifyRequest, name: 'projectId' | 'collection'): string {
  const params = request.params as Readonly<Record<string, string | undefined>>
  return params[name] ?? ''
}

const IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

/** Throws InvalidRequestError for one that is empty or too long. */
export function idempotencyKey(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && key !== '' && key.length <= IDEMPOTENCY_KEY_CHARACTERS_MAX) return key
  const message = `The header Idempotency-Key must have 1 to ${IDEMPOTENCY_KEY_CHARACTERS_MAX} characters.`
  throw new AppError('InvalidRequestError', message)
}

/** Brackets that a body may have inside each other: events are checked against their own bound afterwards. */
const DEPTH_MAX = 1_000
/** Smaller bodies cannot nest deep enough to cost anything before they are checked. */
const SCANNED_BYTES_MIN = 256 << 10

/** A body that is parsed once, or a second time when it turns out to need it. Both throw InvalidJSONError. */
export interface ParsedBody {
  readonly value: unknown
  /** Parses again, keeping what a plain parse loses. */
  exactly(): unknown
}

export function parseBody(body: Buffer): ParsedBody {
  const text = jsonText(body)
  const exactly = (): unknown => {
    if (isDeeperThan(body, DEPTH_MAX)) throw tooDeep()
    return parseExactly(text)
  }
  if (body.length >= SCANNED_BYTES_MIN && isDeeperThan(body, DEPTH_MAX)) throw tooDeep()
  const value = parseJsonText(text)
  return { value: mayHaveLoneSurrogates(text) ? exactly() : value, exactly }
}

const tooDeep = (): AppError => new AppError('InvalidJSONError', `The JSON is nested deeper than ${DEPTH_MAX} levels.`)
