import type { FastifyInstance } from 'fastify'
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Grant } from '../shared/registry/grant.ts'
import type { Registry } from '../shared/registry/registry.ts'
import type { Logger } from '../shared/telemetry/logger.ts'
import type { StreamSecrets } from '../shared/streams/secrets.ts'
import type { StreamSettings } from '../shared/streams/settings.ts'
import { createProber, type Prober } from '../shared/streams/probe.ts'
import { createAudit } from './audit.ts'
import { registerKeyRoutes } from './routes/keys.ts'
import { registerOrganizationRoutes } from './routes/organization-projects.ts'
import { registerProjectRoutes } from './routes/projects.ts'
import { registerStreamRoutes } from './routes/streams.ts'
import { registerUsageRoutes } from './routes/usage.ts'
import { createStreams } from './streams.ts'

export interface AdminSettings {
  /** Of one request. The server's own bound is for bulks of events; definitions are small. */
  readonly bodyBytesMax: number
}

export const ADMIN_SETTINGS: AdminSettings = { bodyBytesMax: 262_144 }

export interface AdminDeps {
  readonly registry: Registry
  readonly metrics: MetricsRegistry
  readonly logger: Logger
  readonly settings: AdminSettings
  /** The names of the grant's project's collections; left out where this process has no warehouse to ask. May reject. */
  readonly collections?: CollectionsOf
  readonly streams: StreamDeps
}

export interface StreamDeps {
  readonly secrets: StreamSecrets
  readonly settings: StreamSettings
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Left out: with the limits of `PROBE_LIMITS`. */
  readonly probe?: Prober
}

export type CollectionsOf = (grant: Grant) => Promise<readonly string[]>

/** Registers the routes that manage projects (with the organization's key), and keys and streams (with a project's master key). */
export function registerAdmin(
  app: FastifyInstance,
  { registry, metrics, logger, settings, collections, streams }: AdminDeps,
): void {
  const deps = { registry, audit: createAudit(logger, metrics), settings }
  const none: CollectionsOf = () => Promise.resolve([])
  registerOrganizationRoutes(app, deps)
  registerProjectRoutes(app, { ...deps, collections: collections ?? none, logger })
  registerUsageRoutes(app, deps)
  registerKeyRoutes(app, deps)
  const { secrets, now, probe = createProber() } = streams
  const made = createStreams({ definitions: registry.definitions, secrets, settings: streams.settings, probe, now })
  registerStreamRoutes(app, { ...deps, streams: made })
}
