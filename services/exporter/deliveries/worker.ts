import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { Slots } from '../../shared/slots.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import { readManifest } from '../archive/read-archive.ts'
import type { Manifest } from '../domain/manifest.ts'
import { emptyOfDead } from '../spool/empty-of-dead.ts'
import { MemoryBudget } from '../spool/memory-budget.ts'
import type { ColumnCatalogue } from './column-catalogue.ts'
import { type CourseDeps, CourseRun } from './course-run.ts'
import { DeliveryMetrics } from './metrics.ts'
import type { DeliverySettings } from './settings.ts'
import type { Course, Streams } from './stream.ts'

export const DELIVERIES_GROUP = 'tributary.deliveries'

/** Manifests that are kept in memory for the next stream that looks at them; of a few kilobytes each. */
const MANIFESTS_MAX = 2_000

export interface DeliveriesDeps {
  readonly log: EventLog
  readonly archive: Bucket
  readonly streams: Streams
  /** What columns collections have; left out where there is no warehouse to ask: then a file has those of its events. */
  readonly catalogue?: ColumnCatalogue | undefined
  /** This process's own, for what waits to be sent. */
  readonly folder: string
  readonly registry: Registry
  readonly settings: DeliverySettings
  readonly logger: Pick<Logger, 'info' | 'warn'>
  readonly now: () => number
}

interface Running {
  readonly course: Course
  readonly run: CourseRun
  readonly stop: AbortController
  readonly ended: Promise<void>
}

/**
 * Carries out all streams' deliveries, each by itself, in one process of those that run, until `signal` aborts. Rejects
 * only with an error of the log or of our own.
 */
export async function runDeliveries(deps: DeliveriesDeps, signal: AbortSignal): Promise<void> {
  const { log, archive, settings, streams, logger, now } = deps
  const folder = join(deps.folder, 'deliveries')
  await emptyOfDead(folder)
  const metrics = new DeliveryMetrics(deps.registry)
  const manifests = new LRUCache<string, Manifest>({ max: MANIFESTS_MAX })
  const shared = {
    archive,
    folder,
    settings,
    streams,
    catalogue: deps.catalogue,
    metrics,
    logger,
    now,
    budget: new MemoryBudget(settings.memoryBytesMax),
    making: new Slots(settings.makingMax),
    sending: { healthy: new Slots(settings.sendingMax), failed: new Slots(settings.sendingFailedMax) },
    readManifest: async (key: string, stop: AbortSignal) => {
      const known = manifests.get(key)
      if (known !== undefined) return known
      const manifest = await readManifest(archive, key, stop)
      manifests.set(key, manifest)
      return manifest
    },
  }
  await runShares({
    log,
    group: DELIVERIES_GROUP,
    signal,
    work: async (share) => workShare({ ...shared, confirm: () => share.confirm() }, share),
  })
}

const nameOf = ({ project, stream, createdAtMs, course }: Course): string =>
  `${project}/${stream}/${createdAtMs}/${course}`

/** Keeps a run going for each course of a share, as they come, change and go. */
async function workShare(deps: CourseDeps, share: Share): Promise<void> {
  const running = new Map<string, Running>()
  const { metrics, settings, streams } = deps
  const end = async (name: string, one: Running): Promise<void> => {
    running.delete(name)
    metrics.courses.dec({ state: 'active' })
    one.stop.abort()
    await one.ended
  }
  try {
    while (!share.signal.aborted) {
      const wanted = new Map(
        streams
          .courses()
          .filter(({ project, stream }) => shareOf(`${project}/${stream}`) === share.index)
          .map((course) => [nameOf(course), course]),
      )
      for (const [name, one] of running) {
        if (wanted.get(name)?.version !== one.course.version) await end(name, one)
      }
      for (const [name, course] of wanted) {
        if (running.has(name)) continue
        const stop = new AbortController()
        const run = new CourseRun(deps, course)
        metrics.courses.inc({ state: 'active' })
        running.set(name, { course, run, stop, ended: run.run(AbortSignal.any([share.signal, stop.signal])) })
      }
      for (const { run } of running.values()) run.tellLag()
      await delay(settings.tickMs, undefined, { signal: share.signal }).catch(() => undefined)
    }
  } finally {
    for (const [name, one] of running) await end(name, one)
  }
}
