import { AppError } from '../../services/shared/errors.ts'
import { buildServer } from '../../services/shared/http/server.ts'
import type { Authenticator, Grant } from '../../services/shared/registry/grant.ts'
import type { Definitions } from '../../services/shared/registry/definitions.ts'
import { createLogger } from '../../services/shared/telemetry/logger.ts'
import { createMetrics } from '../../services/shared/telemetry/metrics.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import type { ExtractionPlace } from '../../services/query/context.ts'
import type { DatasetPlace } from '../../services/query/routes/datasets.ts'
import type { SavedQueryPlace } from '../../services/query/saved/saved-queries.ts'
import { registerQuery } from '../../services/query/register.ts'
import { DEFAULT_QUERY_SETTINGS, type QuerySettings } from '../../services/query/settings.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { WIDE_LIMITS } from './stored-events.ts'

export const SETTINGS: QuerySettings = {
  ...DEFAULT_QUERY_SETTINGS,
  limits: { master: WIDE_LIMITS, read: WIDE_LIMITS, write: WIDE_LIMITS, access: WIDE_LIMITS },
  runningMax: 4,
  perProjectMax: 100,
  waitMs: 10_000,
}

/** The query service alone on a server, with keys from a table. */
export function buildQueryApi(options: {
  readonly warehouse: Warehouse
  readonly keys?: Readonly<Record<string, Grant>>
  /** Instead of the table of keys. */
  readonly authenticator?: Authenticator
  readonly nowMs: number
  readonly settings?: QuerySettings
  readonly extractions?: ExtractionPlace
  readonly datasets?: DatasetPlace
  readonly definitions?: Definitions
  readonly saved?: SavedQueryPlace
  /** Instead of `nowMs`, for time that passes. */
  readonly now?: () => number
}) {
  const metrics = createMetrics()
  const logger = createLogger({ level: 'silent', service: 'query' })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: 1_000_000,
    isReady: () => Promise.resolve({ ready: true, problems: [] }),
  })
  const authenticator: Authenticator = options.authenticator ?? {
    authenticate(projectId, presentedKey) {
      const grant = presentedKey === undefined ? undefined : options.keys?.[presentedKey]
      if (grant === undefined) throw new AppError('InvalidApiKeyError', 'The key is not valid.')
      if (grant.projectId !== projectId) throw new AppError('ResourceNotFoundError', 'Resource not found.')
      return grant
    },
  }
  const works = registerQuery(app, {
    warehouse: options.warehouse,
    authenticator,
    definitions: options.definitions ?? memoryDefinitions(() => options.nowMs).definitions,
    metrics,
    logger,
    settings: options.settings ?? SETTINGS,
    now: options.now ?? (() => options.nowMs),
    ...(options.extractions === undefined ? {} : { extractions: options.extractions }),
    ...(options.datasets === undefined ? {} : { datasets: options.datasets }),
    ...(options.saved === undefined ? {} : { saved: options.saved }),
  })
  return { app, metrics, works }
}
