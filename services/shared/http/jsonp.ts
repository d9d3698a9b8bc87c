import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

const FUNCTION_NAME = /^[A-Za-z_$][\w$.]{0,127}$/

/**
 * The function that a GET asks to be called with the answer (`jsonp=name`), or undefined. Throws InvalidRequestFieldError
 * when it is not a plain name: it becomes part of a script.
 */
export function jsonpFunction(request: FastifyRequest): string | undefined {
  if (request.method !== 'GET') return undefined
  const name = (request.query as Readonly<Record<string, unknown>>)['jsonp']
  if (name === undefined || name === '') return undefined
  if (typeof name !== 'string' || !FUNCTION_NAME.test(name)) {
    throw new AppError('InvalidRequestFieldError', 'jsonp must be the name of a function.')
  }
  return name
}

/** Always 200: a script that fails to load tells its page nothing. The comment keeps the reply from being taken for another format. */
export function sendJsonp(reply: FastifyReply, name: string, json: string): FastifyReply {
  // U+2028 and U+2029 may stand in JSON but ended a line in older JavaScript.
  const body = json.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
  return reply
    .code(200)
    .header('content-type', 'application/javascript; charset=utf-8')
    .header('x-content-type-options', 'nosniff')
    .send(`/**/${name}(${body})`)
}
