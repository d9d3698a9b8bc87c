import type { JsonObject } from '../json-object.ts'

/** The enrichments there are, under the names that events ask for them by. */
export const ADDON_NAMES = [
  'keen:ip_to_geo',
  'keen:ua_parser',
  'keen:url_parser',
  'keen:referrer_parser',
  'keen:date_time_parser',
] as const
export type AddonName = (typeof ADDON_NAMES)[number]

/** What became of one add-on of one event; a closed set, for a label. */
export type AddonOutcome =
  | 'added'
  /** There is no add-on of this name. */
  | 'unknown_addon'
  /** The declaration names no property for an input, or the event has no text there. */
  | 'input_missing'
  /** The input is no address, URL or time. */
  | 'input_invalid'
  /** The input is good, and nothing is known about it. */
  | 'not_found'
  /** Something other than an object stands where the result belongs. */
  | 'output_taken'
  /** With the results the event would break a rule: it was stored without them. */
  | 'event_limit'
  /** Besides another outcome: a property of the result has a name or text that events may not have. */
  | 'property_dropped'

export type AddonCounter = (addon: AddonName | 'unknown', outcome: AddonOutcome) => void

/** What an enrichment found out, or why it did not. */
export type AddonResult = Readonly<JsonObject> | 'input_invalid' | 'not_found'

/** Facts from outside that enrichments look things up in. */
export interface EnrichmentSources {
  /** About an address in its text form. */
  readonly geo: (address: string) => AddonResult
  readonly userAgent: (text: string) => AddonResult
}
