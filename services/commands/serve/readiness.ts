import { statfs } from 'node:fs/promises'
import type { Unready } from '../../shared/http/health.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Registry } from '../../shared/registry/registry.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'

export interface ReadinessParts {
  readonly log: Pick<EventLog, 'ping'> | undefined
  readonly warehouse: Pick<Warehouse, 'ping'> | undefined
  readonly registry: Pick<Registry, 'isReady'> | undefined
  /** A folder that something embedded writes to. */
  readonly folder: string | undefined
  /** Aborted while the process drains. */
  readonly draining: AbortSignal
}

const ANSWER_WITHIN_MS = 3_000
/** Probes and load balancers ask often, from several sides. */
const REMEMBERED_MS = 1_000
const DISK_FREE_BYTES_MIN = 128 * 1_048_576

/** Says why this process cannot take work, looking at most once a second. Draining is said at once. */
export function createReadiness(parts: ReadinessParts): () => Promise<Unready> {
  let checkedAtMs = Number.NEGATIVE_INFINITY
  let last: Promise<Unready> = Promise.resolve({})
  return () => {
    if (parts.draining.aborted) return Promise.resolve({ process: 'draining' })
    if (performance.now() - checkedAtMs > REMEMBERED_MS) {
      checkedAtMs = performance.now()
      last = check(parts)
    }
    return last
  }
}

async function check({ log, warehouse, registry, folder }: ReadinessParts): Promise<Unready> {
  const reasons: Record<string, string> = {}
  const ping = async (name: string, part: { ping(): Promise<void> } | undefined): Promise<void> => {
    if (part !== undefined && !(await answers(part.ping()))) reasons[name] = 'does not take work'
  }
  await Promise.all([ping('log', log), ping('warehouse', warehouse), disk(folder, reasons)])
  if (registry !== undefined && !registry.isReady()) reasons['registry'] = 'no longer follows the control topic'
  return reasons
}

async function answers(ping: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), ANSWER_WITHIN_MS)
  const answered = ping.then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([answered, late])
  } finally {
    clearTimeout(timer)
  }
}

async function disk(folder: string | undefined, reasons: Record<string, string>): Promise<void> {
  if (folder === undefined) return
  try {
    const { bavail, bsize } = await statfs(folder)
    if (bavail * bsize < DISK_FREE_BYTES_MIN) reasons['disk'] = 'is nearly full'
  } catch {
    reasons['disk'] = 'cannot be looked at'
  }
}
