import { Registry as MetricsRegistry } from 'prom-client'
import { openRegistry, type Registry, type RegistryLimits } from '../../services/shared/registry/registry.ts'
import { DEPLOYMENT } from './api.ts'
import { memoryLog, type MemoryLog } from './memory-control-log.ts'

export interface OpenedRegistry {
  readonly registry: Registry
  readonly log: MemoryLog
  readonly metrics: MetricsRegistry
  /** Every line that was logged, as JSON. */
  readonly lines: readonly string[]
}

/** A registry over a log in memory; time goes on by a millisecond with every look at the clock. */
export async function openTestRegistry(
  options: { log?: MemoryLog; secret?: string; limits?: Partial<RegistryLimits> } = {},
): Promise<OpenedRegistry> {
  const log = options.log ?? memoryLog()
  const metrics = new MetricsRegistry()
  const lines: string[] = []
  const write = (fields: object, message: string): void => {
    const text = JSON.stringify({ ...fields, message }, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    lines.push(text)
  }
  let clockMs = 1_700_000_000_000
  const registry = await openRegistry({
    log,
    secret: options.secret ?? DEPLOYMENT.secret,
    organization: { id: DEPLOYMENT.organizationId, key: DEPLOYMENT.organizationKey },
    metrics,
    logger: { info: write, warn: write, error: write },
    now: () => {
      clockMs += 1
      return clockMs
    },
    ...(options.limits !== undefined && { limits: options.limits }),
  })
  return { registry, log, metrics, lines }
}

/** Everything a registry knows, secrets too, to be compared with another's. */
export function contents(registry: Registry): unknown {
  return registry.projects(DEPLOYMENT.organizationId).map((project) => {
    const { master, read, write } = registry.predefinedKeys(project.id)
    const others = registry.keys(project.id, { page: 1, perPage: 1_000_000 })
    return {
      project,
      keys: [master, read, write, ...others].map((key) => (key === undefined ? null : { ...key, secret: key.secret })),
    }
  })
}
