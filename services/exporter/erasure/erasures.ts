import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Bucket } from '../../shared/bucket/port.ts'
import { ERASURE_KIND } from '../../shared/deletions/erasure.ts'
import { type Deletion, deletionOf } from '../../shared/deletions/model.ts'
import { hasCode, isRetryable } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Share } from '../../shared/work/shares.ts'
import { type Ends, endsOf, isArchivedTo } from '../upkeep/archived.ts'
import { deliveredFiles } from './delivered-files.ts'
import { type Erasure, eraseArchive } from './erase-archive.ts'

/** Every process has heard of a deletion this long after it was asked for: they follow within half a second. */
const KNOWN_EVERYWHERE_MS = 2_000
const FAILED_AGAIN_MS = 60_000
const TOLD_EVERY_MS = 5_000
/** Of the files that were delivered before, those that are named. */
const FILES_MAX = 500

export interface ErasuresDeps {
  readonly log: Pick<EventLog, 'committed' | 'ends'>
  readonly archive: Bucket
  readonly definitions: Definitions
  /** For drafts that are too large for memory. */
  readonly folder: string
  readonly registry: Registry
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Deletions in the archive's files, each once everything that was in the log when every process knew of it is in the
 * archive. What comes later and was received before is of the ranges that follow, which are looked at too, since the ends
 * are taken after that moment.
 */
export class Erasures {
  readonly #deps: ErasuresDeps
  readonly #meters: Meters
  readonly #fences = new Map<string, Ends>()
  readonly #failedAtMs = new Map<string, number>()

  constructor(deps: ErasuresDeps) {
    this.#deps = deps
    this.#meters = createMeters(deps.registry, deps.definitions)
  }

  /** Those that can be carried out now, oldest first. Rejects as the log does. */
  async due(): Promise<readonly Deletion[]> {
    const found: Deletion[] = []
    const blocked = new Set<string>()
    for (const deletion of unfinished(this.#deps.definitions)) {
      const name = `${deletion.projectId}/${deletion.collection}`
      // What one wrote before it failed is found by itself alone: another of the collection would leave it lying there.
      if (this.#hasFailedLately(deletion)) blocked.add(name)
      else if (!blocked.has(name) && (await this.#isDue(deletion))) found.push(deletion)
    }
    return found
  }

  /**
   * Carries one out; a failure is told and gives false, and it is due again later. Rejects when the share is lost, and
   * with errors of our own.
   */
  async run(deletion: Deletion, share: Share): Promise<boolean> {
    try {
      await this.#carryOut(deletion, share)
      return true
    } catch (error) {
      if (share.signal.aborted || hasCode(error, 'LOG_FENCED')) throw error
      this.#failedAtMs.set(deletion.id, this.#deps.now())
      this.#meters.failures.inc()
      const fields = { projectId: deletion.projectId, deletion: deletion.id, err: error }
      this.#deps.logger.error(fields, 'a deletion did not reach the archive and is tried again')
      if (!isRetryable(error) && !hasCode(error, 'ARCHIVE_DAMAGED') && !hasCode(error, 'BUCKET_REFUSED')) throw error
      return false
    }
  }

  #hasFailedLately({ id }: Deletion): boolean {
    return this.#deps.now() < (this.#failedAtMs.get(id) ?? -FAILED_AGAIN_MS) + FAILED_AGAIN_MS
  }

  async #isDue({ id, atMs }: Deletion): Promise<boolean> {
    const { log, now } = this.#deps
    if (now() < atMs + KNOWN_EVERYWHERE_MS) return false
    const ends = this.#fences.get(id) ?? (await endsOf(log))
    this.#fences.set(id, ends)
    return isArchivedTo(log, ends)
  }

  async #carryOut(deletion: Deletion, share: Share): Promise<void> {
    const { archive, folder, logger, now } = this.#deps
    const { signal } = share
    await share.confirm()
    const startedAt = new Date(now()).toISOString()
    let toldMs = now()
    let telling: Promise<void> = this.#tell(deletion, { state: 'running', started_at: startedAt })
    const onProgress = (soFar: Erasure): void => {
      if (now() - toldMs < TOLD_EVERY_MS) return
      toldMs = now()
      telling = telling
        .then(async () => this.#tell(deletion, { state: 'running', started_at: startedAt, ...soFar }))
        .catch(() => undefined)
    }
    const done = await eraseArchive({ archive, folder, signal, confirm: () => share.confirm() }, deletion, onProgress)
    // After that: what was delivered while it ran may hold such events too.
    const files = await deliveredFiles(archive, deletion, FILES_MAX, signal)
    await telling
    await share.confirm()
    await this.#tell(deletion, {
      state: 'done',
      started_at: startedAt,
      done_at: new Date(now()).toISOString(),
      ...done,
      delivered: files,
    })
    this.#fences.delete(deletion.id)
    this.#meters.events.inc({ what: 'erased' }, done.erased)
    this.#meters.events.inc({ what: 'changed' }, done.changed)
    this.#meters.objects.inc(done.objects)
    logger.info({ projectId: deletion.projectId, deletion: deletion.id, ...done }, 'a deletion reached the archive')
  }

  async #tell({ projectId, id }: Deletion, value: Record<string, unknown>): Promise<void> {
    try {
      await this.#deps.definitions.put(ERASURE_KIND, projectId, id, value)
    } catch (error) {
      if (!hasCode(error, 'ResourceNotFoundError')) throw error // its project was deleted
    }
  }
}

/** Oldest first. */
const unfinished = (definitions: Definitions): readonly Deletion[] =>
  [...definitions.all('deletion')]
    .filter(({ projectId, name }) => definitions.get(ERASURE_KIND, projectId, name)?.value['state'] !== 'done')
    .flatMap((definition) => deletionOf(definition) ?? [])
    .toSorted((a, b) => a.atMs - b.atMs)

type Meters = ReturnType<typeof createMeters>

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
