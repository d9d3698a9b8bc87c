import type { StreamDeps } from '../../services/admin/app.ts'
import { parseListedHosts } from '../../services/shared/streams/endpoints.ts'
import { streamSecretsWith } from '../../services/shared/streams/secrets.ts'
import type { StreamSettings } from '../../services/shared/streams/settings.ts'
import { DEPLOYMENT } from './api.ts'

export const streamSettings = (endpoints = '', folder?: string, perProjectMax = 20): StreamSettings => ({
  endpoints: parseListedHosts(endpoints) ?? [],
  folder,
  perProjectMax,
})

/** What the admin service needs for streams: by default no endpoint and no folder is allowed, and every destination passes its test. */
export const testStreams = (deps: Partial<StreamDeps> = {}): StreamDeps => ({
  secrets: streamSecretsWith(DEPLOYMENT.secret),
  settings: streamSettings(),
  now: Date.now,
  probe: async () => ({ ok: true, ms: 1 }),
  ...deps,
})
