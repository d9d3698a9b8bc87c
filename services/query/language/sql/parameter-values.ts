import { parseDateTime } from '../../../shared/filters/datetime.ts'
import type { Binder } from '../bind.ts'
import { moment as storedMoment } from '../deleted.ts'
import { BOUNDS } from './bounds.ts'
import { type Position, shown, sqlError } from './position.ts'
import type { Value } from './state.ts'
import { type SqlType, typeNamed } from './types.ts'

/** By name, as they came in the request: null, booleans, numbers, texts, and arrays of texts or of numbers. */
export type ParameterValues = ReadonlyMap<string, unknown>

/** A constant. Whole numbers past 2^53 come as bigint. */
export function constant(value: unknown, binder: Binder): Value {
  const of = (sql: string): Value => ({ sql, isTime: false, isConstant: true })
  if (value === null) return of('NULL')
  if (typeof value === 'boolean') return of(value ? 'true' : 'false')
  if (typeof value === 'bigint') return of(binder.bind(value.toString(), 'Int64'))
  if (typeof value === 'number') return of(binder.bind(value, Number.isSafeInteger(value) ? 'Int64' : 'Float64'))
  if (typeof value === 'string') return { ...of(binder.bind(value, 'String')), text: value }
  throw new TypeError('not a constant')
}

/** All texts or all numbers as one parameter; undefined for other lists. */
export function constantList(values: readonly unknown[], binder: Binder): string | undefined {
  if (values.length === 0) return undefined
  if (values.every((value) => typeof value === 'string')) return binder.bind(values, 'Array(String)')
  if (values.every((value) => Number.isSafeInteger(value))) return binder.bind(values, 'Array(Int64)')
  return values.every((value) => typeof value === 'number') ? binder.bind(values, 'Array(Float64)') : undefined
}

/** A moment that was written as a text. Throws InvalidSqlError when it is none. */
export function moment(text: string, at: Position, binder: Binder): Value {
  const time = parseDateTime(text.trim())
  if (time === undefined) {
    throw sqlError(`${JSON.stringify(shown(text))} is no date and time (2026-01-31, 2026-01-31T12:00:00Z)`, at)
  }
  return { sql: storedMoment(time.epochMs, binder), isTime: true, isConstant: true }
}

/** `{name:Type}` or `:name`. Throws InvalidSqlError for a value that is missing or of another type. */
export function parameter(
  name: string,
  typeText: string | null,
  at: Position,
  values: ParameterValues,
  binder: Binder,
): Value {
  if (!values.has(name)) throw sqlError(`the parameter ${shown(name)} has no value in parameters`, at)
  const value = values.get(name)
  if (typeText === null) {
    if (!Array.isArray(value)) return constant(value, binder)
    const list = constantList(value, binder)
    if (list === undefined) throw sqlError(`parameters.${shown(name)} must be a list of texts or of numbers here`, at)
    return { sql: list, isTime: false, isConstant: true }
  }
  const type = typeNamed(typeText)
  if (type === undefined) throw sqlError(`${shown(typeText)} is no type that is known here`, at)
  if (value === null) return constant(null, binder)
  const typed = type.isArray ? typedList(value, type, binder) : typedValue(value, type, at, binder)
  if (typed !== undefined) return typed
  throw sqlError(`parameters.${shown(name)} must be of the type ${typeText}`, at)
}

function typedList(value: unknown, { name }: SqlType, binder: Binder): Value | undefined {
  if (!Array.isArray(value) || value.length > BOUNDS.parameterElements) return undefined
  const of = (sql: string): Value => ({ sql, isTime: false, isConstant: true })
  const items = value as readonly unknown[]
  if (name === 'String' && items.every((item) => typeof item === 'string'))
    return of(binder.bind(items, 'Array(String)'))
  if (/^U?Int/.test(name) && items.every((item) => Number.isSafeInteger(item)))
    return of(binder.bind(items, 'Array(Int64)'))
  if (name.startsWith('Float') && items.every((item) => typeof item === 'number')) {
    return of(binder.bind(items, 'Array(Float64)'))
  }
  return undefined
}

function typedValue(value: unknown, { name }: SqlType, at: Position, binder: Binder): Value | undefined {
  const of = (sql: string): Value => ({ sql, isTime: false, isConstant: true })
  if (name === 'String') return typeof value === 'string' ? constant(value, binder) : undefined
  if (name === 'Bool') return typeof value === 'boolean' ? constant(value, binder) : undefined
  if (name.startsWith('Float')) return typeof value === 'number' ? of(binder.bind(value, 'Float64')) : undefined
  if (/^U?Int/.test(name))
    return isWhole(value) ? of(`CAST(${binder.bind(String(value), 'Int64')}, '${name}')`) : undefined
  if (typeof value !== 'string') return undefined
  if (name === 'UUID')
    return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)
      ? of(`toUUID(${binder.bind(value, 'String')})`)
      : undefined
  const time = moment(value, at, binder)
  return name === 'Date32' ? { ...time, sql: `toDate32(${time.sql})` } : time
}

const isWhole = (value: unknown): boolean =>
  Number.isSafeInteger(value) || (typeof value === 'string' && /^-?\d{1,18}$/.test(value))
