import { AppError } from '../errors.ts'

type JsonObject = Readonly<Record<string, unknown>>

/** The error of a field that is there and wrong; `field` is its path in the body. */
export const wrong = (field: string, why: string): AppError =>
  new AppError('InvalidRequestFieldError', `${field} ${why}.`)

const missing = (field: string): AppError => new AppError('MissingRequiredRequestFieldError', `${field} is required.`)

/**
 * An object of a request's body, read field by field. Null is the same as not there. What throws is an
 * InvalidRequestFieldError or MissingRequiredRequestFieldError that names the field by its path.
 */
export class BodyPart {
  readonly #fields: JsonObject
  readonly #path: string

  /** `path` is '' for the whole body. Refuses fields that are not in `known`: the likeliest is a misspelt restriction. */
  constructor(value: unknown, path: string, known: readonly string[]) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      if (path === '') throw new AppError('InvalidRequestError', 'The body must be a JSON object.')
      throw wrong(path, 'must be an object')
    }
    this.#fields = value as JsonObject
    this.#path = path
    const unknown = Object.keys(value).find((name) => !known.includes(name))
    if (unknown !== undefined) throw wrong(this.field(unknown), 'is not a field that is known here')
  }

  field(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }

  /** Undefined where it is null or not there. */
  given(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined
  }

  required(name: string): unknown {
    const value = this.given(name)
    if (value === undefined) throw missing(this.field(name))
    return value
  }

  /** `pattern` is for the whole text, `expected` its meaning in words. */
  text(name: string, pattern: RegExp, expected: string): string {
    this.required(name)
    return this.optionalText(name, pattern, expected) ?? ''
  }

  optionalText(name: string, pattern: RegExp, expected: string): string | undefined {
    const value = this.given(name)
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw wrong(this.field(name), 'must be a string')
    if (!pattern.test(value)) throw wrong(this.field(name), `must be ${expected}`)
    return value
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.given(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw wrong(this.field(name), 'must be true or false')
  }

  integer(name: string, { min, max, usual }: { readonly min: number; readonly max: number; readonly usual: number }) {
    const value = this.given(name) ?? usual
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    throw wrong(this.field(name), `must be a whole number from ${min} to ${max}`)
  }

  oneOf<const T extends string>(name: string, values: readonly T[]): T {
    const value = this.required(name)
    const found = values.find((one) => one === value)
    if (found === undefined) throw wrong(this.field(name), `must be one of ${values.join(', ')}`)
    return found
  }

  /** An object below this one. */
  part(name: string, known: readonly string[]): BodyPart {
    return new BodyPart(this.required(name), this.field(name), known)
  }

  optionalPart(name: string, known: readonly string[]): BodyPart | undefined {
    return this.given(name) === undefined ? undefined : this.part(name, known)
  }
}
