import { isPlaceholder } from './enrichment/placeholders.ts'
import { isBeyondInt64, needsExactness } from './exact-json.ts'
import { type Fault, quoted } from './fault.ts'
import { isRawNumber, type JsonObject } from './json-object.ts'
import { isLongerThan } from './text-length.ts'

export interface ValueRules {
  /** Levels of objects and arrays, the event itself being the first. */
  readonly depthMax: number
  /** Names in an event, on all levels together. */
  readonly propertiesMax: number
}

const NAME_CHARACTERS_MAX = 256
const STRING_CHARACTERS_MAX = 9_999

/** Found on the way down; the path is put together on the way up, so that good events do not pay for it. */
interface Finding {
  readonly code: Fault['code']
  readonly rule: string
  readonly path: string[]
}

const INVALID_VALUE = 'InvalidPropertyValueError'

/**
 * Checks every name and value of an event in one pass. One checker serves many events, one at a time; it allocates
 * nothing for a good one.
 */
export class ValueChecker {
  readonly #rules: ValueRules
  #properties = 0
  #foundInexact = false
  #foundPlaceholder = false

  constructor(rules: ValueRules) {
    this.#rules = rules
  }

  /** Whether the last event had a number that has to be read again from its text, by `parseExactly`. */
  get foundInexact(): boolean {
    return this.#foundInexact
  }

  /** Whether the last event had a string that the request fills in. */
  get foundPlaceholder(): boolean {
    return this.#foundPlaceholder
  }

  /** Undefined when the event keeps all rules. */
  check(event: JsonObject): Fault | undefined {
    this.#properties = 0
    this.#foundInexact = false
    this.#foundPlaceholder = false
    const finding = this.#object(event, 1)
    return finding === undefined ? undefined : faultOf(finding)
  }

  #value(value: unknown, depth: number): Finding | undefined {
    if (typeof value === 'string') {
      if (isPlaceholder(value)) this.#foundPlaceholder = true
      if (!isLongerThan(value, STRING_CHARACTERS_MAX)) return undefined
      return { code: INVALID_VALUE, rule: 'a string must be shorter than 10,000 characters', path: [] }
    }
    if (typeof value === 'number') {
      if (!needsExactness(value)) return undefined
      this.#foundInexact = true
      return Number.isFinite(value) ? undefined : { code: INVALID_VALUE, rule: 'the number is too large', path: [] }
    }
    if (typeof value !== 'object' || value === null) return undefined
    if (Array.isArray(value)) return this.#array(value, depth + 1)
    if (isRawNumber(value)) {
      if (!isBeyondInt64(value.rawJSON)) return undefined
      return { code: INVALID_VALUE, rule: 'an integer must be within -2^63 and 2^63-1', path: [] }
    }
    return this.#object(value as JsonObject, depth + 1)
  }

  #array(values: readonly unknown[], depth: number): Finding | undefined {
    if (depth > this.#rules.depthMax) return this.#tooDeep()
    for (let i = 0; i < values.length; i += 1) {
      const finding = this.#value(values[i], depth)
      if (finding !== undefined) {
        finding.path.push(String(i))
        return finding
      }
    }
    return undefined
  }

  #object(object: JsonObject, depth: number): Finding | undefined {
    if (depth > this.#rules.depthMax) return this.#tooDeep()
    // `for in` of what JSON.parse made visits own properties only, and is the fastest way to.
    for (const name in object) {
      this.#properties += 1
      if (!isGoodName(name)) return { code: 'InvalidPropertyNameError', rule: name, path: [] }
      const finding = this.#value(object[name], depth)
      if (finding !== undefined) {
        finding.path.push(name)
        return finding
      }
    }
    if (this.#properties <= this.#rules.propertiesMax) return undefined
    return { code: 'InvalidEventError', rule: `more than ${this.#rules.propertiesMax} properties`, path: [] }
  }

  #tooDeep(): Finding {
    return { code: 'InvalidEventError', rule: `nested deeper than ${this.#rules.depthMax} levels`, path: [] }
  }
}

const isGoodName = (name: string): boolean =>
  name.length > 0 && !isLongerThan(name, NAME_CHARACTERS_MAX) && !name.includes('.')

function faultOf({ code, rule, path }: Finding): Fault {
  if (code === 'InvalidPropertyNameError') {
    const message = `Property name is invalid. Must be <= ${NAME_CHARACTERS_MAX} characters, cannot be empty, and cannot contain the '.' symbol anywhere. You specified: ${quoted(rule)}.`
    return { code, message }
  }
  if (code === 'InvalidEventError') return { code, message: `Event is invalid: ${rule}.` }
  const where = path.toReversed().join('.')
  return { code, message: `Property value is invalid: ${rule}. Property: ${quoted(where)}.` }
}
