import { type JsonObject, setProperty } from '../json-object.ts'
import type { AddonResult } from './addon.ts'

const QUERY_NAMES_MAX = 200

/** A URL that has a host; undefined for any other text. */
export function urlOf(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url === undefined || url.hostname === '' ? undefined : url
}

/**
 * The parts of a URL; `query_string` has the first value of every name. `anchor` and `query_string` are null and {} when
 * the URL has none. User and password are left out.
 */
export function parseUrl(text: string): AddonResult {
  const url = urlOf(text)
  if (url === undefined) return 'input_invalid'
  const query: JsonObject = {}
  let count = 0
  for (const [name, value] of url.searchParams) {
    if (Object.hasOwn(query, name)) continue
    count += 1
    if (count > QUERY_NAMES_MAX) break
    setProperty(query, name, value)
  }
  return {
    protocol: url.protocol.slice(0, -1),
    domain: url.hostname,
    path: url.pathname,
    anchor: url.hash === '' ? null : decoded(url.hash.slice(1)),
    query_string: query,
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
