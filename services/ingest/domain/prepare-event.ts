import { withAutofill } from './autofill.ts'
import { ValueChecker, type ValueRules } from './check-values.ts'
import type { AddonCounter, EnrichmentSources } from './enrichment/addon.ts'
import { enrich } from './enrichment/enrich.ts'
import { leavesOf, valueAt } from './enrichment/paths.ts'
import { type Visit, withPlaceholders } from './enrichment/placeholders.ts'
import { type Fault, quoted } from './fault.ts'
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

/** What a key puts into every event written with it. */
export interface Filling {
  readonly autofill: Readonly<JsonObject>
  /** An event with another value where the autofill has one is refused. */
  readonly mayNotContradict: boolean
}

/** Numbers lost digits when the request was parsed: parse it again with `parseExactly`, and prepare that. */
export const INEXACT: unique symbol = Symbol('inexact')

export type Preparation = PreparedEvent | Fault | typeof INEXACT

const NO_NAMESPACE: KeenNamespace = {
  timestampMs: undefined,
  timestamp: undefined,
  uniquenessToken: undefined,
  addons: [],
  stored: undefined,
}

const NOT_AN_OBJECT: Fault = { code: 'InvalidEventError', message: 'Event is invalid: it must be a JSON object.' }

/**
 * Makes events ready for the log, one at a time: autofill, then the rules for what is merged, then placeholders and
 * add-ons, then what is stored.
 */
export class EventPreparer {
  readonly #rules: EventRules
  readonly #sources: EnrichmentSources
  readonly #checker: ValueChecker

  constructor(rules: EventRules, sources: EnrichmentSources) {
    this.#rules = rules
    this.#sources = sources
    this.#checker = new ValueChecker(rules)
  }

  /**
   * `raw` is what JSON.parse gave, and belongs to this call: its property `keen` is replaced. `count` hears what became
   * of each add-on.
   */
  prepare(raw: unknown, filling: Filling | null, visit: Visit, count: AddonCounter): Preparation {
    if (!isJsonObject(raw)) return NOT_AN_OBJECT
    if (filling === null) return this.#prepareFilled(raw, null, visit, count)
    const contradiction = filling.mayNotContradict ? contradictionOf(raw, filling.autofill) : undefined
    return contradiction ?? this.#prepareFilled(withAutofill(raw, filling.autofill), filling, visit, count)
  }

  #prepareFilled(sent: JsonObject, filling: Filling | null, visit: Visit, count: AddonCounter): Preparation {
    const fault = this.#checker.check(sent)
    if (fault !== undefined) return fault
    if (this.#checker.foundInexact) return INEXACT
    const event = this.#checker.foundPlaceholder ? withPlaceholders(sent, visit) : sent
    const namespace = Object.hasOwn(event, 'keen') ? readKeenNamespace(event['keen']) : NO_NAMESPACE
    if (isFault(namespace)) return namespace
    // JSON leaves out what is undefined; deleting it would turn the object into a slow one.
    if (namespace !== NO_NAMESPACE) event['keen'] = namespace.stored

    const properties = this.#enriched(event, namespace, filling, visit, count) ?? JSON.stringify(event)
    const bytes = Buffer.byteLength(properties)
    if (bytes > this.#rules.eventBytesMax) {
      const message = `Event is too large: ${bytes} bytes, at most ${this.#rules.eventBytesMax} are allowed.`
      return { code: 'EventTooLargeError', message }
    }
    const { timestampMs, uniquenessToken } = namespace
    return { timestampMs, uniquenessToken, properties }
  }

  /** The text of the event with its add-ons' results, or without them where they would break a rule; undefined without add-ons. */
  #enriched(
    event: JsonObject,
    namespace: KeenNamespace,
    filling: Filling | null,
    visit: Visit,
    count: AddonCounter,
  ): string | undefined {
    if (namespace.addons.length === 0) return undefined
    const timestamp = namespace.timestamp ?? new Date(visit.receivedAtMs).toISOString()
    const filledIn = filling === null ? [] : leavesOf(filling.autofill)
    const ownAddons = filling === null ? undefined : valueAt(filling.autofill, ['keen', 'addons'])
    const sentCount = namespace.addons.length - (Array.isArray(ownAddons) ? ownAddons.length : 0)
    const context = { timestamp, sources: this.#sources, count, filledIn, sentCount }
    const enriched = enrich(event, namespace.addons, context)
    const properties = JSON.stringify(enriched.event)
    const isGood =
      enriched.added.length === 0 ||
      (this.#checker.check(enriched.event) === undefined && Buffer.byteLength(properties) <= this.#rules.eventBytesMax)
    for (const name of enriched.added) count(name, isGood ? 'added' : 'event_limit')
    return isGood ? properties : JSON.stringify(enriched.plain)
  }
}

/** Null is what an event has that says nothing. */
function contradictionOf(event: JsonObject, autofill: Readonly<JsonObject>): Fault | undefined {
  for (const path of leavesOf(autofill)) {
    const value = valueAt(event, path)
    if (value === undefined || value === null || value === valueAt(autofill, path)) continue
    const message = `Property value is invalid: the key writes events of another value only. Property: ${quoted(path.join('.'))}.`
    return { code: 'InvalidPropertyValueError', message }
  }
  return undefined
}
