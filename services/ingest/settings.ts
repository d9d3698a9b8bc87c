import type { KeyLimits } from '../shared/limits/domain/key-limits.ts'
import type { KeyKind } from '../shared/registry/model.ts'
import type { EventRules } from './domain/prepare-event.ts'

export interface IngestSettings extends EventRules {
  readonly eventsPerRequestMax: number
  /** Of all events of one request as they go to the log: autofill can make them larger than the request. */
  readonly appendBytesMax: number
  /** What a key may record in a second, by its kind, unless its project or itself was given something else. */
  readonly keyLimits: Readonly<Record<KeyKind, KeyLimits>>
  /** Hosts that a recording link may lead to: `example.com`, `*.example.com` for all under it, `*` for any. */
  readonly redirectHosts: readonly string[]
}

/** The API's published limits, and generous ones where it publishes none. The bound of a request's bytes is the server's. */
export const INGEST_DEFAULTS: IngestSettings = {
  eventBytesMax: 900_000,
  depthMax: 100,
  propertiesMax: 5_000,
  eventsPerRequestMax: 20_000,
  appendBytesMax: 32 << 20,
  keyLimits: { master: {}, read: {}, write: {}, access: {} },
  redirectHosts: [],
}

/** Of one request's body, as the API publishes it: `bodyBytesMax` of a server that takes events. */
export const REQUEST_BYTES_MAX = 10_000_000
