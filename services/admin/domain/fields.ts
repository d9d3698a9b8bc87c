import { AppError } from '../../shared/errors.ts'

export type JsonObject = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The error of a field that is there and wrong; `field` is its path in the body. */
export const wrong = (field: string, why: string): AppError =>
  new AppError('InvalidRequestFieldError', `${field} ${why}`)

export const missing = (field: string): AppError =>
  new AppError('MissingRequiredRequestFieldError', `${field} is required`)

/** The whole body. Throws InvalidRequestError. */
export function requireObject(body: unknown): JsonObject {
  if (!isObject(body)) throw new AppError('InvalidRequestError', 'The body must be a JSON object')
  return body
}

export function requireText(value: unknown, field: string, charsMax: number): string {
  if (typeof value !== 'string') throw wrong(field, 'must be a string')
  if (value.length > charsMax) throw wrong(field, `must be at most ${charsMax} characters`)
  if (!value.isWellFormed()) throw wrong(field, 'must be valid Unicode')
  return value
}

export function requireBoolean(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw wrong(field, 'must be true or false')
  return value
}

export function requireArray(value: unknown, field: string, itemsMax: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(field, 'must be an array')
  if (value.length > itemsMax) throw wrong(field, `must have at most ${itemsMax} items`)
  return value
}

export const requireTexts = (value: unknown, field: string, max: { items: number; chars: number }): readonly string[] =>
  requireArray(value, field, max.items).map((item, i) => requireText(item, `${field}[${i}]`, max.chars))

/** An object of any JSON, bounded. Throws InvalidRequestFieldError. */
export function requireJson(value: unknown, field: string, max: { bytes: number; depth: number }): JsonObject {
  if (!isObject(value)) throw wrong(field, 'must be an object')
  checkDepth(value, field, max.depth)
  if (Buffer.byteLength(JSON.stringify(value)) > max.bytes) throw wrong(field, `must be at most ${max.bytes} bytes`)
  return value
}

function checkDepth(value: unknown, field: string, depthLeft: number): void {
  if (typeof value !== 'object' || value === null) return
  if (depthLeft === 0) throw wrong(field, 'is nested too deep')
  for (const child of Object.values(value)) checkDepth(child, field, depthLeft - 1)
}
