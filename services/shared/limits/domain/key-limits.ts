import { AppError } from '../../errors.ts'
import type { KeyKind } from '../../registry/model.ts'

/** What a key may do in a time, and what one of its queries may cost. */
export const LIMIT_NAMES = [
  'events_per_second',
  'bytes_per_second',
  'queries_per_minute',
  'concurrent_queries',
  'rows_per_query',
  'seconds_per_query',
] as const
export type LimitName = (typeof LIMIT_NAMES)[number]

/** One that is left out is without bound. */
export type KeyLimits = Readonly<Partial<Record<LimitName, number>>>

const KINDS: ReadonlySet<string> = new Set(['master', 'read', 'write', 'access'] satisfies KeyKind[])
const NAMES: ReadonlySet<string> = new Set(LIMIT_NAMES)

type JsonObject = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isLimit = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 1

/** `{"queries_per_minute": 60}`; null leaves one out. Throws InvalidRequestFieldError that names the field. */
export function parseLimits(value: unknown, field: string): KeyLimits {
  if (!isObject(value)) throw wrong(field, 'must be an object or null')
  for (const [name, limit] of Object.entries(value)) {
    if (!NAMES.has(name)) throw wrong(`${field}.${name}`, `is not a known limit: there are ${LIMIT_NAMES.join(', ')}`)
    if (limit !== null && !isLimit(limit)) throw wrong(`${field}.${name}`, 'must be a whole number above zero, or null')
  }
  return readLimits(value)
}

/** Limits of a project by the kind of key: `{"access": {"events_per_second": 100}}`. Throws as `parseLimits` does. */
export function checkLimitsByKind(value: unknown, field: string): void {
  if (!isObject(value)) throw wrong(field, 'must be an object or null')
  for (const [kind, limits] of Object.entries(value)) {
    if (!KINDS.has(kind)) throw wrong(`${field}.${kind}`, `is not a kind of key: there are ${[...KINDS].join(', ')}`)
    if (limits !== null) parseLimits(limits, `${field}.${kind}`)
  }
}

/** Of what was kept: whatever this version does not understand is left out. */
export function readLimits(value: unknown): KeyLimits {
  if (!isObject(value)) return {}
  return Object.fromEntries(LIMIT_NAMES.flatMap((name) => (isLimit(value[name]) ? [[name, value[name]]] : [])))
}

/**
 * What holds for a key: the project's limits for its kind instead of the deployment's, and of an access key its own where
 * they are narrower: whoever makes keys in a project cannot go past what the project was given.
 */
export function limitsFor(defaults: KeyLimits, ofProject: KeyLimits, own: KeyLimits): KeyLimits {
  const base = { ...defaults, ...ofProject }
  return Object.fromEntries(
    LIMIT_NAMES.flatMap((name) => {
      const limits = [base[name], own[name]].filter((limit) => limit !== undefined)
      return limits.length === 0 ? [] : [[name, Math.min(...limits)]]
    }),
  )
}

const wrong = (field: string, problem: string): AppError =>
  new AppError('InvalidRequestFieldError', `${field} ${problem}.`)
