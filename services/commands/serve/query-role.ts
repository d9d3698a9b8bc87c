import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { LOADER_GROUP } from '../../loader/worker.ts'
import { runDeletions } from '../../query/deletions/runner.ts'
import { folderFiles } from '../../query/extraction/folder-files.ts'
import { registerQuery } from '../../query/register.ts'
import type { Config } from '../../shared/config.ts'
import type { OpenedOrganization } from '../../shared/config/organization.ts'
import { AppError } from '../../shared/errors.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Registry } from '../../shared/registry/registry.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Registry as Metrics } from '../../shared/telemetry/metrics.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { startInBackground } from './background.ts'

export interface QueryRoleDeps {
  readonly config: Config
  readonly organization: OpenedOrganization | undefined
  readonly log: EventLog
  readonly warehouse: Warehouse
  readonly registry: Registry
  readonly metrics: Metrics
  readonly logger: Logger
}

/** Answers questions, and does the work that goes on by itself: deletions, cached queries, datasets. */
export function startQuery(life: Life, app: FastifyInstance, deps: QueryRoleDeps): void {
  const { config, organization, log, warehouse, registry, metrics, logger } = deps
  const { definitions } = registry
  const common = { warehouse, definitions, metrics, logger, now: Date.now }
  const runner = { ...common, log, loaderGroup: LOADER_GROUP }
  startInBackground(life, 'deletions', (signal) => runDeletions(runner, signal))
  const extractions = organization && {
    files: folderFiles(join(config.dataDir, 'extractions')),
    isSole: config.warehouse.kind === 'chdb',
    secret: organization.secret,
  }
  const projectGrant = projectGrantOf(registry)
  const works = registerQuery(app, {
    ...common,
    authenticator: registry,
    settings: config.query,
    saved: { definitions, log, projectGrant },
    datasets: { organizationId: organization?.id ?? '', work: { log, projectGrant } },
    tail: { log },
    ...(extractions === undefined ? {} : { extractions }),
  })
  for (const { name, run } of works) startInBackground(life, name, run)
}

/** For work that a project has done for it: its own master key's grant, and none once the project is gone. */
const projectGrantOf =
  (registry: Registry) =>
  (projectId: string): Grant | undefined => {
    const { master } = registry.predefinedKeys(projectId)
    if (master === undefined) return undefined
    try {
      return registry.authenticate(projectId, master.secret)
    } catch (error) {
      if (error instanceof AppError) return undefined
      throw error
    }
  }
