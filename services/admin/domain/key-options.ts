import { parseFilters } from '../../shared/filters/parse.ts'
import { parseLimits } from '../../shared/limits/domain/key-limits.ts'
import type { KeyOptions } from '../../shared/registry/model.ts'
import { isObject, requireJson, requireTexts, wrong, type JsonObject } from './fields.ts'

/** All options of one key together. Every process keeps them in memory. */
const OPTIONS_MAX = { bytes: 65_536, depth: 40 }
const AUTOFILL_MAX = { bytes: 32_768, depth: 20 }
const NAMES_MAX = { items: 1_000, chars: 256 }
const INDEX_NAMES_MAX = 100
const OPERATIONS: ReadonlySet<string> = new Set(['read', 'list', 'retrieve', 'create', 'delete'])
/** What the API takes for a property name. */
const PROPERTY_CHARS_MAX = 256

/** Checks a field of a group; what it gives back is what is kept. */
type FieldParser = (value: unknown, field: string) => unknown

const parseNames: FieldParser = (value, field) => requireTexts(value, field, NAMES_MAX)

/** Kept as they were sent; the query language reads them again when they are used. */
const parseFilterJson: FieldParser = (value, field) => {
  parseFilters(value, field)
  return value
}

const parseAutofill: FieldParser = (value, field) => {
  const autofill = requireJson(value, field, AUTOFILL_MAX)
  checkPropertyNames(autofill, field)
  return autofill
}

const parseOperations: FieldParser = (value, field) => {
  const operations = requireTexts(value, field, NAMES_MAX)
  const unknown = operations.findIndex((name) => !OPERATIONS.has(name))
  if (unknown !== -1) throw wrong(`${field}[${unknown}]`, `must be one of ${[...OPERATIONS].join(', ')}`)
  return [...new Set(operations)]
}

const parseAllowedDatasets: FieldParser = (value, field) => {
  if (!isObject(value)) throw wrong(field, 'must be an object of dataset names')
  const names = Object.keys(value)
  if (names.length > NAMES_MAX.items) throw wrong(field, `must have at most ${NAMES_MAX.items} datasets`)
  return fromEntries(names.map((name) => [name, parseDatasetScope(value[name], `${field}.${name}`)]))
}

const GROUPS: Readonly<Record<Exclude<keyof KeyOptions, 'limits'>, Readonly<Record<string, FieldParser>>>> = {
  writes: { autofill: parseAutofill },
  queries: { filters: parseFilterJson },
  saved_queries: { allowed: parseNames, blocked: parseNames, filters: parseFilterJson },
  cached_queries: { allowed: parseNames, blocked: parseNames },
  datasets: { operations: parseOperations, allowed: parseAllowedDatasets, blocked: parseNames },
}
/** Permissions that have no options; an empty group of theirs is harmless. */
const WITHOUT_OPTIONS: ReadonlySet<string> = new Set(['schema', 'query_definition'])

/**
 * Checks the options of an access key. A group or field that is not known is refused rather than ignored: the likeliest
 * one is a misspelt restriction, and a key without its restriction shows everything. Null is the same as not there.
 * Throws InvalidRequestFieldError or the query language's errors for filters, all naming the path.
 */
export function parseKeyOptions(value: unknown): KeyOptions {
  const options = requireJson(value, 'options', OPTIONS_MAX)
  for (const [name, group] of Object.entries(options)) {
    if (Object.hasOwn(GROUPS, name) || name === 'limits' || group === null) continue
    if (!WITHOUT_OPTIONS.has(name)) throw wrong(`options.${name}`, 'is not a known group of options')
    if (!isObject(group) || Object.keys(group).length > 0) throw wrong(`options.${name}`, 'takes no options')
  }
  return {
    writes: parseGroup(options, 'writes'),
    queries: parseGroup(options, 'queries'),
    saved_queries: parseGroup(options, 'saved_queries'),
    cached_queries: parseGroup(options, 'cached_queries'),
    datasets: parseGroup(options, 'datasets'),
    limits: isNone(options['limits']) ? null : parseLimits(options['limits'], 'options.limits'),
  }
}

const isNone = (value: unknown): boolean => value === undefined || value === null

function parseGroup(options: JsonObject, name: keyof typeof GROUPS): JsonObject | null {
  const group = options[name] ?? null
  const field = `options.${name}`
  if (group === null) return null
  if (!isObject(group)) throw wrong(field, 'must be an object or null')
  const parsers = GROUPS[name]
  const kept: [string, unknown][] = []
  for (const [key, value] of Object.entries(group)) {
    if (value === null) continue
    const parse = Object.hasOwn(parsers, key) ? parsers[key] : undefined
    if (parse === undefined) throw wrong(`${field}.${key}`, 'is not a known option')
    kept.push([key, parse(value, `${field}.${key}`)])
  }
  return fromEntries(kept)
}

function parseDatasetScope(value: unknown, field: string): JsonObject {
  if (!isObject(value)) throw wrong(field, 'must be an object')
  for (const key of Object.keys(value)) {
    if (key !== 'index_by' && value[key] !== null) throw wrong(`${field}.${key}`, 'is not a known option')
  }
  const indexBy = value['index_by'] ?? null
  if (indexBy === null) return {}
  if (!isObject(indexBy)) throw wrong(`${field}.index_by`, 'must be an object of property names')
  const names = Object.keys(indexBy)
  if (names.length > INDEX_NAMES_MAX) {
    throw wrong(`${field}.index_by`, `must have at most ${INDEX_NAMES_MAX} properties`)
  }
  return {
    index_by: fromEntries(names.map((name) => [name, parseIndexValues(indexBy[name], `${field}.index_by.${name}`)])),
  }
}

function parseIndexValues(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(field, 'must be an array of values')
  if (value.length > NAMES_MAX.items) throw wrong(field, `must have at most ${NAMES_MAX.items} values`)
  for (const [i, item] of value.entries()) {
    if (!['string', 'number', 'boolean'].includes(typeof item)) {
      throw wrong(`${field}[${i}]`, 'must be a string, a number or a boolean')
    }
  }
  return value
}

/** What is filled in must be a good event's part, or every event written with the key would be refused. */
function checkPropertyNames(value: unknown, field: string): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) checkPropertyNames(item, `${field}[${i}]`)
  } else if (isObject(value)) {
    for (const [name, child] of Object.entries(value)) {
      if (name === '' || name.length > PROPERTY_CHARS_MAX || name.includes('.')) {
        throw wrong(
          field,
          `has a property name that is empty, longer than ${PROPERTY_CHARS_MAX} characters or has a "." in it`,
        )
      }
      checkPropertyNames(child, `${field}.${name}`)
    }
  }
}

/** Also for a name like `__proto__`, which is a name like any other here. */
const fromEntries = (entries: readonly (readonly [string, unknown])[]): JsonObject => Object.fromEntries(entries)
