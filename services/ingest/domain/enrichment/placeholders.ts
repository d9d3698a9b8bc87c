import { isJsonObject, type JsonObject, setProperty } from '../json-object.ts'

/** What an event may ask about the request it came in. */
export interface Visit {
  /** Milliseconds since 1970. */
  readonly receivedAtMs: number
  /** Where it came from, in its shortest form; undefined when that cannot be told. Looked up when it is asked for. */
  readonly address: () => string | undefined
  readonly userAgent: string | undefined
}

const IP = '${keen.ip}'
const USER_AGENT = '${keen.user_agent}'
/** Of a header that goes into an event. */
const USER_AGENT_CHARACTERS_MAX = 2_048

export const isPlaceholder = (text: string): boolean =>
  (text.length === IP.length && text === IP) || (text.length === USER_AGENT.length && text === USER_AGENT)

/**
 * The event with its placeholders replaced, everywhere but in its `keen` object, by what the request says; by null when
 * it does not say. Only strings that are a placeholder as a whole are replaced. Copies what it changes.
 */
export function withPlaceholders(event: JsonObject, visit: Visit): JsonObject {
  const replaced: JsonObject = {}
  for (const [name, value] of Object.entries(event)) {
    setProperty(replaced, name, name === 'keen' ? value : replacedIn(value, visit))
  }
  return replaced
}

function replacedIn(value: unknown, visit: Visit): unknown {
  if (typeof value === 'string') {
    if (!isPlaceholder(value)) return value
    return (value === IP ? visit.address() : visit.userAgent?.slice(0, USER_AGENT_CHARACTERS_MAX)) ?? null
  }
  if (Array.isArray(value)) return value.map((item: unknown) => replacedIn(item, visit))
  if (!isJsonObject(value)) return value
  const replaced: JsonObject = {}
  for (const [name, item] of Object.entries(value)) setProperty(replaced, name, replacedIn(item, visit))
  return replaced
}
