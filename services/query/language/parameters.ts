import { AppError } from '../../shared/errors.ts'

type Decoder = (text: string, field: string) => unknown

/** Bare text, JSON when it begins like an object, an array or a quoted string. */
const textOrJson: Decoder = (text, field) => (/^\s*[[{"]/.test(text) ? parseJson(text, field) : text)

/** A number, true or false, bare or in quotes; anything else stays text and is refused by the field's own rule. */
const literal: Decoder = (text, field) => {
  const value = textOrJson(text, field)
  if (typeof value !== 'string') return value
  const word = value.trim()
  if (word === 'null') return null
  if (word === 'true' || word === 'false') return word === 'true'
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(word) ? Number(word) : value
}

/** In a GET, filters and the like are JSON or nothing; a bare null is absent. */
const bareNull =
  (decode: Decoder): Decoder =>
  (text, field) =>
    text.trim() === 'null' ? null : decode(text, field)

const DECODERS: Readonly<Record<string, Decoder>> = {
  // Named by their author, so the text null, 12 or true is a name like any other.
  event_collection: textOrJson,
  target_property: textOrJson,
  group_by: bareNull(textOrJson),
  property_names: bareNull(textOrJson),
  timeframe: bareNull(textOrJson),
  timezone: bareNull(textOrJson),
  interval: bareNull(textOrJson),
  filters: bareNull(textOrJson),
  order_by: bareNull(textOrJson),
  steps: bareNull(textOrJson),
  analyses: bareNull(textOrJson),
  ordered: literal,
  window: literal,
  limit: literal,
  latest: literal,
  percentile: literal,
  zero_fill: literal,
  include_metadata: literal,
  max_age: literal,
  approximate: literal,
  email: bareNull(textOrJson),
  email_address: bareNull(textOrJson),
  async: literal,
  content_type: bareNull(textOrJson),
  content_encoding: bareNull(textOrJson),
}

/**
 * A query string's parameters as the fields that a POST's body would have. Values may be bare, JSON, or JSON-quoted; of a
 * name given twice the last counts. Throws InvalidJSONError for JSON that is broken.
 */
export function decodeParameters(parameters: URLSearchParams): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = {}
  const bounds: Record<string, string> = {}
  for (const [name, text] of parameters) {
    const bound = /^timeframe\[(start|end)\]$/.exec(name)?.[1]
    if (bound !== undefined) bounds[bound] = text
    const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
    if (decode !== undefined) fields[name] = decode(text, name)
  }
  const isAbsent = fields['timeframe'] === undefined || fields['timeframe'] === null || fields['timeframe'] === ''
  return isAbsent && Object.keys(bounds).length > 0 ? { ...fields, timeframe: bounds } : fields
}

function parseJson(text: string, field: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new AppError('InvalidJSONError', `${field} is not valid JSON.`, { cause: error })
  }
}
