import type { FastifyInstance } from 'fastify'
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Grant } from '../shared/registry/grant.ts'
import type { Registry } from '../shared/registry/registry.ts'
import type { Logger } from '../shared/telemetry/logger.ts'
import { createAudit } from './audit.ts'
import { registerKeyRoutes } from './routes/keys.ts'
import { registerOrganizationRoutes } from './routes/organization-projects.ts'
import { registerProjectRoutes } from './routes/projects.ts'
import { registerUsageRoutes } from './routes/usage.ts'

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
}

export type CollectionsOf = (grant: Grant) => Promise<readonly string[]>

/** Registers the routes that manage projects (with the organization's key) and keys (with a project's master key). */
export function registerAdmin(
  app: FastifyInstance,
  { registry, metrics, logger, settings, collections }: AdminDeps,
): void {
  const deps = { registry, audit: createAudit(logger, metrics), settings }
  const none: CollectionsOf = () => Promise.resolve([])
  registerOrganizationRoutes(app, deps)
  registerProjectRoutes(app, { ...deps, collections: collections ?? none, logger })
  registerUsageRoutes(app, deps)
  registerKeyRoutes(app, deps)
}
