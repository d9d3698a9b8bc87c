import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import { type Deletion, type DeletionProgress, deletionOf } from '../../shared/deletions/model.ts'
import { hasCode } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { runShares, type Share, shareOf } from '../../shared/work/shares.ts'
import { carryOut, DeletionFailed } from './carry-out.ts'

export interface DeletionRunnerDeps {
  readonly log: Pick<EventLog, 'consume' | 'committed' | 'ends'>
  /** Whose commits say what of the events topic is in the warehouse. */
  readonly loaderGroup: string
  readonly warehouse: Warehouse
  readonly definitions: Definitions
  readonly metrics: MetricsRegistry
  readonly logger: Logger
  /** Milliseconds since 1970. */
  readonly now: () => number
}

const GROUP = 'tributary.deletions'
/** Every process has heard of a deletion this long after it was asked for: they follow within half a second. */
const KNOWN_EVERYWHERE_MS = 2_000
const FAILED_AGAIN_MS = 60_000

type Ends = ReadonlyMap<number, bigint>

/**
 * Carries deletions out until `signal` aborts, those of one collection in the order in which they were asked for, each by
 * one process. One begins once everything that was in the log when every process knew of it is in the warehouse: what
 * comes later is dropped by the loader.
 */
export async function runDeletions(deps: DeletionRunnerDeps, signal: AbortSignal): Promise<void> {
  const { definitions, logger, now } = deps
  const meters = createMeters(deps.metrics, definitions)
  const fences = new Map<string, Ends>()
  const failedAtMs = new Map<string, number>()

  const put = async (deletion: Deletion, progress: Partial<DeletionProgress>): Promise<void> => {
    const { projectId, id } = deletion
    const known = definitions.get('deletion', projectId, id)
    if (known === undefined) return // its project was deleted
    try {
      await definitions.put('deletion', projectId, id, { ...known.value, ...progress })
    } catch (error) {
      if (!hasCode(error, 'ResourceNotFoundError')) throw error
    }
  }

  /** False when it is not its turn yet. */
  const isDue = async (deletion: Deletion): Promise<boolean> => {
    if (now() < (failedAtMs.get(deletion.id) ?? -FAILED_AGAIN_MS) + FAILED_AGAIN_MS) return false
    if (now() < deletion.atMs + KNOWN_EVERYWHERE_MS) return false
    const ends = fences.get(deletion.id) ?? (await endsOf(deps.log))
    fences.set(deletion.id, ends)
    return isLoaded(deps, ends)
  }

  const run = async (deletion: Deletion, share: Share): Promise<void> => {
    await share.confirm()
    await put(deletion, { state: 'running', startedAtMs: deletion.progress.startedAtMs ?? now() })
    const fields = { projectId: deletion.projectId, deletion: deletion.id, what: deletion.what }
    try {
      await carryOut(deps.warehouse, deletion, share.signal)
    } catch (error) {
      if (!(error instanceof DeletionFailed) && !hasCode(error, 'WAREHOUSE_REJECTED')) throw error
      logger.error({ ...fields, reason: error.message }, 'deletion failed; it stays out of answers, and is tried again')
      failedAtMs.set(deletion.id, now())
      meters.ended.inc({ outcome: 'failed' })
      await put(deletion, { state: 'failed' })
      return
    }
    await share.confirm()
    await put(deletion, { state: 'done', doneAtMs: now() })
    fences.delete(deletion.id)
    meters.ended.inc({ outcome: 'done' })
    logger.info(fields, 'deletion done')
  }

  const work = async (share: Share): Promise<void> => {
    // What waits for the loader must not hold up what comes after it in another collection.
    const waiting = new Set<string>()
    for (const deletion of unfinished(definitions)) {
      if (share.signal.aborted) return
      const place = `${deletion.projectId}/${deletion.collection}`
      if (shareOf(place) !== share.index || waiting.has(place)) continue
      if (await isDue(deletion)) await run(deletion, share)
      else waiting.add(place)
      if (definitions.get('deletion', deletion.projectId, deletion.id)?.value['state'] === 'failed') waiting.add(place)
    }
    await delay(0)
  }
  await runShares({ log: deps.log, group: GROUP, work, signal })
}

/** Oldest first. */
const unfinished = (definitions: Definitions): readonly Deletion[] =>
  [...definitions.all('deletion')]
    .filter(({ value }) => value['state'] !== 'done')
    .flatMap((definition) => deletionOf(definition) ?? [])
    .toSorted((a, b) => a.atMs - b.atMs)

async function endsOf(log: Pick<EventLog, 'ends'>): Promise<Ends> {
  const all = await log.ends(EVENTS_TOPIC)
  return new Map(all.flatMap(({ partition, start, end }) => (end > start ? [[partition, end] as const] : [])))
}

async function isLoaded({ log, loaderGroup }: DeletionRunnerDeps, ends: Ends): Promise<boolean> {
  const committed = await log.committed(EVENTS_TOPIC, loaderGroup)
  return [...ends].every(([partition, end]) => (committed.get(partition)?.offset ?? 0n) >= end)
}

function createMeters(metrics: MetricsRegistry, definitions: Definitions) {
  void new Gauge({
    name: 'deletions_unfinished',
    help: 'Deletions that were asked for and are not carried out yet; what they concern is left out of answers.',
    registers: [metrics],
    collect() {
      this.set(unfinished(definitions).length)
    },
  })
  return {
    ended: new Counter({
      name: 'deletions_total',
      help: 'Deletions carried out by this process, by how they ended.',
      labelNames: ['outcome'] as const,
      registers: [metrics],
    }),
  }
}
