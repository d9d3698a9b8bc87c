import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Bucket } from '../../shared/bucket/port.ts'
import { ERASURE_KIND } from '../../shared/deletions/erasure.ts'
import { type Deletion, deletionOf } from '../../shared/deletions/model.ts'
import { hasCode, isRetryable } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import { emptyOfDead } from '../spool/empty-of-dead.ts'
import { EXPORTER_GROUP } from '../worker.ts'
import { deliveredFiles, type Erasure, eraseArchive } from './erase-archive.ts'

export const ERASURES_GROUP = 'tributary.erasures'

/** Every process has heard of a deletion this long after it was asked for: they follow within half a second. */
const KNOWN_EVERYWHERE_MS = 2_000
const FAILED_AGAIN_MS = 60_000
const TOLD_EVERY_MS = 5_000
/** Of the files that were delivered before, those that are named. */
const FILES_MAX = 500

export interface ErasuresDeps {
  readonly log: Pick<EventLog, 'consume' | 'committed' | 'ends'>
  readonly archive: Bucket
  readonly definitions: Definitions
  /** This process's own. */
  readonly folder: string
  readonly registry: Registry
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

type Ends = ReadonlyMap<number, bigint>

/**
 * Carries deletions out in the archive's files until `signal` aborts, each by one process: once everything that was in the
 * log when every process knew of it is in the archive. What comes later and was received before is of the ranges that
 * follow, which are looked at too, since the ends are taken after that moment.
 */
export async function runErasures(deps: ErasuresDeps, signal: AbortSignal): Promise<void> {
  const { definitions, log, logger, now } = deps
  const folder = join(deps.folder, 'erasures')
  await emptyOfDead(folder)
  const meters = createMeters(deps.registry, definitions)
  const fences = new Map<string, Ends>()
  const failedAtMs = new Map<string, number>()

  const tell = async ({ projectId, id }: Deletion, value: Record<string, unknown>): Promise<void> => {
    try {
      await definitions.put(ERASURE_KIND, projectId, id, value)
    } catch (error) {
      if (!hasCode(error, 'ResourceNotFoundError')) throw error // its project was deleted
    }
  }

  const isDue = async ({ id, atMs }: Deletion): Promise<boolean> => {
    if (now() < atMs + KNOWN_EVERYWHERE_MS || now() < (failedAtMs.get(id) ?? -FAILED_AGAIN_MS) + FAILED_AGAIN_MS) {
      return false
    }
    const ends = fences.get(id) ?? (await endsOf(log))
    fences.set(id, ends)
    const committed = await log.committed(EVENTS_TOPIC, EXPORTER_GROUP)
    return [...ends].every(([partition, end]) => (committed.get(partition)?.offset ?? 0n) >= end)
  }

  const run = async (deletion: Deletion, share: Share): Promise<void> => {
    await share.confirm()
    const startedAt = new Date(now()).toISOString()
    let toldMs = now()
    let telling: Promise<void> = tell(deletion, { state: 'running', started_at: startedAt })
    const onProgress = (soFar: Erasure): void => {
      if (now() - toldMs < TOLD_EVERY_MS) return
      toldMs = now()
      telling = telling
        .then(async () => tell(deletion, { state: 'running', started_at: startedAt, ...soFar }))
        .catch(() => undefined)
    }
    const files = await deliveredFiles(deps.archive, deletion, FILES_MAX, share.signal)
    const done = await eraseArchive({ archive: deps.archive, folder, signal: share.signal }, deletion, onProgress)
    await telling
    await share.confirm()
    await tell(deletion, {
      state: 'done',
      started_at: startedAt,
      done_at: new Date(now()).toISOString(),
      ...done,
      delivered: files,
    })
    fences.delete(deletion.id)
    meters.events.inc({ what: 'erased' }, done.erased)
    meters.events.inc({ what: 'changed' }, done.changed)
    meters.objects.inc(done.objects)
    logger.info({ projectId: deletion.projectId, deletion: deletion.id, ...done }, 'a deletion reached the archive')
  }

  const work = async (share: Share): Promise<void> => {
    for (const deletion of unfinished(definitions)) {
      if (share.signal.aborted) return
      if (shareOf(`${deletion.projectId}/${deletion.id}`) !== share.index || !(await isDue(deletion))) continue
      try {
        await run(deletion, share)
      } catch (error) {
        if (share.signal.aborted || hasCode(error, 'LOG_FENCED')) throw error
        failedAtMs.set(deletion.id, now())
        meters.failures.inc()
        const fields = { projectId: deletion.projectId, deletion: deletion.id, err: error }
        logger.error(fields, 'a deletion did not reach the archive and is tried again')
        if (!isRetryable(error) && !hasCode(error, 'ARCHIVE_DAMAGED') && !hasCode(error, 'BUCKET_REFUSED')) throw error
      }
    }
    await delay(0)
  }
  await runShares({ log, group: ERASURES_GROUP, work, signal })
}

/** Oldest first. */
const unfinished = (definitions: Definitions): readonly Deletion[] =>
  [...definitions.all('deletion')]
    .filter(({ projectId, name }) => definitions.get(ERASURE_KIND, projectId, name)?.value['state'] !== 'done')
    .flatMap((definition) => deletionOf(definition) ?? [])
    .toSorted((a, b) => a.atMs - b.atMs)

async function endsOf(log: Pick<EventLog, 'ends'>): Promise<Ends> {
  const all = await log.ends(EVENTS_TOPIC)
  return new Map(all.flatMap(({ partition, start, end }) => (end > start ? [[partition, end] as const] : [])))
}

function createMeters(registry: Registry, definitions: Definitions) {
  const registers = [registry]
  void new Gauge({
    name: 'erasures_unfinished',
    help: 'Deletions that have not reached the archive’s files yet.',
    registers,
    collect() {
      this.set(unfinished(definitions).length)
    },
  })
  return {
    events: new Counter({
      name: 'erasures_events_total',
      help: 'Events of the archive that deletions took out, or took a property from.',
      labelNames: ['what'] as const,
      registers,
    }),
    objects: new Counter({ name: 'erasures_objects_total', help: 'Objects written anew for it.', registers }),
    failures: new Counter({ name: 'erasures_failures_total', help: 'Tries that failed.', registers }),
  }
}
