import { withAutofill } from './autofill.ts'
import { ValueChecker, type ValueRules } from './check-values.ts'
import type { Fault } from './fault.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import { isFault, type KeenNamespace, readKeenNamespace } from './keen-namespace.ts'

export interface EventRules extends ValueRules {
  /** Of the JSON text that is stored. */
  readonly eventBytesMax: number
}

/** An event that is taken, but for what its place in the request and the clock add. */
export interface PreparedEvent {
  /** Undefined: when it was received. */
  readonly timestampMs: number | undefined
  readonly uniquenessToken: string | undefined
  /** JSON text, an object. */
  readonly properties: string
}

/** Numbers lost digits when the request was parsed: parse it again with `parseExactly`, and prepare that. */
export const INEXACT: unique symbol = Symbol('inexact')

export type Preparation = PreparedEvent | Fault | typeof INEXACT

const NO_NAMESPACE: KeenNamespace = {
  timestampMs: undefined,
  uniquenessToken: undefined,
  addons: [],
  stored: undefined,
}

const NOT_AN_OBJECT: Fault = { code: 'InvalidEventError', message: 'Event is invalid: it must be a JSON object.' }

/**
 * Makes events ready for the log, one at a time: autofill, then the rules for what is merged, then what is stored. An
 * enrichment step belongs between the rules and the text: it has the checked event and its add-ons there.
 */
export class EventPreparer {
  readonly #rules: EventRules
  readonly #checker: ValueChecker

  constructor(rules: EventRules) {
    this.#rules = rules
    this.#checker = new ValueChecker(rules)
  }

  /** `raw` is what JSON.parse gave, and belongs to this call: its property `keen` is replaced. */
  prepare(raw: unknown, autofill: Readonly<JsonObject> | null): Preparation {
    if (!isJsonObject(raw)) return NOT_AN_OBJECT
    const event = autofill === null ? raw : withAutofill(raw, autofill)
    const fault = this.#checker.check(event)
    if (fault !== undefined) return fault
    if (this.#checker.foundInexact) return INEXACT
    const namespace = Object.hasOwn(event, 'keen') ? readKeenNamespace(event['keen']) : NO_NAMESPACE
    if (isFault(namespace)) return namespace
    // JSON leaves out what is undefined; deleting it would turn the object into a slow one.
    if (namespace !== NO_NAMESPACE) event['keen'] = namespace.stored

    const properties = JSON.stringify(event)
    const bytes = Buffer.byteLength(properties)
    if (bytes > this.#rules.eventBytesMax) {
      const message = `Event is too large: ${bytes} bytes, at most ${this.#rules.eventBytesMax} are allowed.`
      return { code: 'EventTooLargeError', message }
    }
    const { timestampMs, uniquenessToken } = namespace
    return { timestampMs, uniquenessToken, properties }
  }
}
