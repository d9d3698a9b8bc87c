import { isJsonObject, type JsonObject, setProperty } from '../json-object.ts'
import type { Addon } from '../keen-namespace.ts'
import { isLongerThan } from '../text-length.ts'
import { ADDON_NAMES, type AddonCounter, type AddonName, type AddonResult, type EnrichmentSources } from './addon.ts'
import { parseDateTime } from './date-time.ts'
import { overlap, valueAt, without, withMerged } from './paths.ts'
import { parseReferrer } from './referrer.ts'
import { parseUrl } from './url.ts'

const NAME_CHARACTERS_MAX = 256
const STRING_CHARACTERS_MAX = 9_999
const NAMES: ReadonlySet<string> = new Set(ADDON_NAMES)
const isKnown = (name: string): name is AddonName => NAMES.has(name)

export interface Enriched {
  readonly event: JsonObject
  /** The event as it was, without what add-ons had to remove: stored when `event` breaks a rule. */
  readonly plain: JsonObject
  /** Whose results are in `event`. */
  readonly added: readonly AddonName[]
}

export interface EnrichmentContext {
  /** What stands for `keen.timestamp`. */
  readonly timestamp: string
  readonly sources: EnrichmentSources
  readonly count: AddonCounter
  /** Paths to what a key filled in, and how many add-ons, the first ones, are not the key's: those leave it as it is. */
  readonly filledIn: readonly (readonly string[])[]
  readonly sentCount: number
}

/**
 * Runs an event's add-ons in their order; each sees the results of those before it. No add-on makes an event bad: what cannot be found out is counted, and left out.
 */
export function enrich(event: JsonObject, addons: readonly Addon[], context: EnrichmentContext): Enriched {
  const { timestamp, sources, count, filledIn, sentCount } = context
  let enriched = event
  const removed: (readonly string[])[] = []
  const added: AddonName[] = []
  for (const [i, { name, input, output }] of addons.entries()) {
    const kept = i < sentCount ? filledIn : []
    if (!isKnown(name)) {
      count('unknown', 'unknown_addon')
      continue
    }
    const before = enriched
    const read = (parameter: string): string | undefined => {
      const path = input[parameter]
      if (path === 'keen.timestamp') return timestamp
      const value = typeof path === 'string' ? valueAt(before, path.split('.')) : undefined
      return typeof value === 'string' ? value : undefined
    }
    const ipPath = input['ip']
    if (name === 'keen:ip_to_geo' && input['remove_ip_property'] === true && typeof ipPath === 'string') {
      const path = ipPath.split('.')
      if (kept.every((other) => !overlap(path, other))) removed.push(path)
    }
    const result = resultOf(name, read, sources)
    if (typeof result === 'string') {
      count(name, result)
      continue
    }
    const next = withMerged(
      before,
      output.split('.'),
      cleaned(result, () => count(name, 'property_dropped')),
    )
    if (next === undefined || kept.some((path) => valueAt(next, path) !== valueAt(before, path))) {
      count(name, 'output_taken')
    } else {
      enriched = next
      added.push(name)
    }
  }
  const finished = (whole: JsonObject): JsonObject => removed.reduce(without, whole)
  return { event: finished(enriched), plain: finished(event), added }
}

function resultOf(
  name: AddonName,
  read: (parameter: string) => string | undefined,
  { geo, userAgent }: EnrichmentSources,
): AddonResult | 'input_missing' {
  const of = (parameter: string, parse: (text: string) => AddonResult): AddonResult | 'input_missing' => {
    const text = read(parameter)
    return text === undefined || text === '' ? 'input_missing' : parse(text)
  }
  switch (name) {
    case 'keen:ip_to_geo':
      return of('ip', geo)
    case 'keen:ua_parser':
      return of('ua_string', userAgent)
    case 'keen:url_parser':
      return of('url', parseUrl)
    case 'keen:referrer_parser': {
      const page = read('page_url')
      return page === undefined ? 'input_missing' : of('referrer_url', (text) => parseReferrer(text, page))
    }
    case 'keen:date_time_parser':
      return of('date_time', parseDateTime)
    default:
      return name satisfies never
  }
}

/** Without what events may not have: names come from URLs, and text may grow when it is decoded or encoded. */
function cleaned(result: Readonly<JsonObject>, dropped: () => void): JsonObject {
  const clean: JsonObject = {}
  for (const [name, value] of Object.entries(result)) {
    if (name === '' || name.includes('.') || isLongerThan(name, NAME_CHARACTERS_MAX)) dropped()
    else if (typeof value === 'string' && isLongerThan(value, STRING_CHARACTERS_MAX)) dropped()
    else setProperty(clean, name, isJsonObject(value) ? cleaned(value, dropped) : value)
  }
  return clean
}
