import { type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { Environment } from './settings.ts'

const PREFIX = 'TRIBUTARY_'
/** What Kubernetes puts into every container beside a Service that is called `tributary`; not settings of ours. */
const SERVICE_LINK = /_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)$/
const TRUE = new Set(['1', 'true', 'yes', 'on'])
const FALSE = new Set(['0', 'false', 'no', 'off'])

export type ParsedEnvironment =
  | { readonly ok: true; readonly value: Environment }
  | { readonly ok: false; readonly problems: readonly string[] }

/**
 * The settings found in `env`, typed, with defaults; or every problem, each naming its setting and never its value.
 * An empty text counts as not set. Pure.
 */
export function parseEnvironment(env: Readonly<Record<string, string | undefined>>): ParsedEnvironment {
  const given: Record<string, unknown> = {}
  const problems: string[] = []
  for (const [name, schema] of Object.entries<TSchema>(Environment.properties)) {
    const text = env[name]
    if (text !== undefined && text !== '') given[name] = convert(schema, text)
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || name in Environment.properties || SERVICE_LINK.test(name)) continue
    const near = nearest(name)
    problems.push(`${name} is not a setting${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
  const value = Value.Default(Environment, given)
  if (!Value.Check(Environment, value)) {
    const names = new Set(Value.Errors(Environment, value).map((error) => error.instancePath.split('/')[1] ?? ''))
    for (const name of names) {
      const schema = (Environment.properties as Record<string, TSchema>)[name]
      if (schema !== undefined) problems.push(`${name} must be ${expectation(schema)}`)
    }
    return { ok: false, problems }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value }
}

/** Strict on purpose: `7.5`, `1e3` and `0x10` stay texts, so that an integer setting refuses them. */
function convert(schema: TSchema, text: string): unknown {
  if (Type.IsInteger(schema)) return /^-?\d{1,16}$/.test(text) ? Number(text) : text
  if (Type.IsBoolean(schema)) {
    const word = text.toLowerCase()
    return TRUE.has(word) ? true : FALSE.has(word) ? false : text
  }
  return text
}

/** What a setting takes, in words: `a whole number from 1 to 100`. */
export function expectation(schema: TSchema): string {
  const {
    minimum,
    maximum,
    pattern,
    enum: values,
  } = schema as unknown as {
    minimum?: number
    maximum?: number
    pattern?: string
    enum?: readonly string[]
  }
  if (values !== undefined) return `one of ${values.join(', ')}`
  if (Type.IsBoolean(schema)) return 'true or false'
  if (Type.IsInteger(schema)) return `a whole number from ${minimum} to ${maximum}`
  return pattern === undefined ? 'a text' : `a text that matches ${pattern}`
}

function nearest(name: string): string | undefined {
  let best: string | undefined
  let bestDistance = 4 // further away than three slips it is another word
  for (const known of Object.keys(Environment.properties)) {
    const distance = editDistance(name, known)
    if (distance < bestDistance) [best, bestDistance] = [known, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const change = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(change, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
