import { isUtf8 } from 'node:buffer'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { AppError } from '../shared/errors.ts'
import type { EventLog, LogMessage } from '../shared/log/port.ts'
import { EVENTS_TOPIC } from '../shared/log/topics.ts'
import type { Grant } from '../shared/registry/grant.ts'
import { collectionNameFault } from './domain/collection-name.ts'
import type { AddonCounter, EnrichmentSources } from './domain/enrichment/addon.ts'
import type { Visit } from './domain/enrichment/placeholders.ts'
import type { Fault } from './domain/fault.ts'
import { isFault } from './domain/keen-namespace.ts'
import { EventPreparer, type Filling, INEXACT } from './domain/prepare-event.ts'
import { RequestScanner } from './domain/scan-request.ts'
import { createEventIds } from './event-ids.ts'
import { RecordingLimits } from './key-limits.ts'
import { MessageBatch } from './message-batch.ts'
import type { IngestMetrics } from './metrics.ts'
import { parseBody } from './request.ts'
import type { IngestSettings } from './settings.ts'

export interface RecorderDeps {
  readonly log: Pick<EventLog, 'append'>
  readonly eventPartitions: number
  readonly metrics: IngestMetrics
  readonly sources: EnrichmentSources
  readonly settings: IngestSettings
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface Recording {
  readonly grant: Grant
  readonly idempotencyKey: string | undefined
  /** JSON: an object of arrays of events by collection, or one event when `collection` says where it goes. */
  readonly body: Buffer
  readonly collection: string | undefined
  readonly visit: Pick<Visit, 'address' | 'userAgent'>
}

/** Per collection, in the request's order: its event count, and the faults by place. */
export interface CollectionOutcome {
  readonly collection: string
  readonly count: number
  readonly faults: ReadonlyMap<number, Fault>
}

/** Enrichments cost time: after so much of it, other requests get a turn. */
const TURN_MS = 20

const NO_FAULTS: ReadonlyMap<number, Fault> = new Map()

/** Checks the events of one request and puts the good ones into the log, in one append. */
export class Recorder {
  readonly #deps: RecorderDeps
  readonly #scanner: RequestScanner
  readonly #preparer: EventPreparer
  readonly #limits: RecordingLimits
  readonly #newId = createEventIds()
  #turn = Math.floor(Math.random() * 0x1000_0000)

  constructor(deps: RecorderDeps) {
    this.#deps = deps
    this.#scanner = new RequestScanner(deps.settings)
    this.#limits = new RecordingLimits(deps.settings.keyLimits, deps.metrics)
    this.#preparer = new EventPreparer(deps.settings, deps.sources)
  }

  /**
   * Resolves once the good events are durable. Rejects with InvalidJSONError, InvalidBatchError, RequestEntityTooLargeError or
   * RateLimitExceededError, having recorded nothing, and with what the log says.
   */
  async record(recording: Recording): Promise<readonly CollectionOutcome[]> {
    const { metrics } = this.#deps
    const batch = new MessageBatch(recording, this.#deps, this.#newId, this.#nextPartition())
    const outcomes = this.#scanned(recording, batch) ?? (await this.#parsed(recording, batch))
    const received = outcomes.reduce((sum, { count }) => sum + count, 0)
    this.#limits.take(recording.grant, received, recording.body.length)
    for (const { faults } of outcomes) {
      for (const { code } of faults.values()) metrics.rejected.inc({ reason: code })
    }
    metrics.received.inc(received)
    if (batch.messages.length > 0) await this.#append(batch.messages)
    return outcomes
  }

  /** The events of a request that may go anywhere go to one place: larger writes for the log, larger reads after it. */
  #nextPartition(): number {
    this.#turn = (this.#turn + 1) % this.#deps.eventPartitions
    return this.#turn
  }

  /** Undefined, with nothing in the batch, when the request has to be parsed. */
  #scanned({ grant, body, collection }: Recording, batch: MessageBatch): readonly CollectionOutcome[] | undefined {
    if (fillingOf(grant) !== null || !isUtf8(body)) return undefined
    const found = this.#scanner.scan(body, collection)
    return found?.map(({ collection, events }) => {
      let i = 0
      for (const span of events) {
        batch.add(collection, i, Number.isNaN(span.timestampMs) ? undefined : span.timestampMs, undefined, span)
        i += 1
      }
      return { collection, count: events.length, faults: NO_FAULTS }
    })
  }

  async #parsed(recording: Recording, batch: MessageBatch): Promise<readonly CollectionOutcome[]> {
    const body = parseBody(recording.body)
    let enrichments: Parameters<AddonCounter>[] = []
    const count: AddonCounter = (...enrichment) => void enrichments.push(enrichment)
    let outcomes = await this.#prepared(recording, body.value, batch, count)
    if (outcomes === INEXACT) {
      batch.clear()
      enrichments = []
      outcomes = await this.#prepared(recording, body.exactly(), batch, count)
    }
    if (outcomes === INEXACT) throw new Error('a number that was read exactly is exact')
    for (const [addon, outcome] of enrichments) this.#deps.metrics.enrichments.inc({ addon, outcome })
    return outcomes
  }

  async #prepared(
    recording: Recording,
    body: unknown,
    batch: MessageBatch,
    count: AddonCounter,
  ): Promise<readonly CollectionOutcome[] | typeof INEXACT> {
    const collections = collectionsOf(body, recording.collection)
    const received = collections.reduce((sum, { events }) => sum + events.length, 0)
    const { eventsPerRequestMax } = this.#deps.settings
    if (received > eventsPerRequestMax) {
      const message = `The request has ${received} events, at most ${eventsPerRequestMax} are allowed.`
      throw new AppError('RequestEntityTooLargeError', message)
    }
    const filling = fillingOf(recording.grant)
    const visit: Visit = { ...recording.visit, receivedAtMs: batch.createdAtMs }
    let turnEndsAtMs = performance.now() + TURN_MS
    const outcomes: CollectionOutcome[] = []
    for (const { collection, events } of collections) {
      const faults = new Map<number, Fault>()
      outcomes.push({ collection, count: events.length, faults })
      const nameFault = collectionNameFault(collection)
      for (let i = 0; i < events.length; i += 1) {
        const prepared = nameFault ?? this.#preparer.prepare(events[i], filling, visit, count)
        if (prepared === INEXACT) return INEXACT
        if (isFault(prepared)) faults.set(i, prepared)
        else batch.add(collection, i, prepared.timestampMs, prepared.uniquenessToken, prepared.properties)
        if (performance.now() > turnEndsAtMs) {
          await othersTurn()
          turnEndsAtMs = performance.now() + TURN_MS
        }
      }
    }
    return outcomes
  }

  async #append(messages: readonly LogMessage[]): Promise<void> {
    const { log, metrics } = this.#deps
    const startedAtMs = performance.now()
    metrics.appending.inc(messages.length)
    try {
      await log.append(EVENTS_TOPIC, messages)
      metrics.accepted.inc(messages.length)
    } catch (error) {
      metrics.rejected.inc({ reason: 'log_unavailable' }, messages.length)
      throw error
    } finally {
      metrics.appending.dec(messages.length)
      metrics.appendSeconds.observe((performance.now() - startedAtMs) / 1_000)
    }
  }
}

interface CollectionEvents {
  readonly collection: string
  readonly events: readonly unknown[]
}

function collectionsOf(body: unknown, collection: string | undefined): readonly CollectionEvents[] {
  if (collection !== undefined) return [{ collection, events: [body] }]
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new AppError('InvalidBatchError', 'The request must be an object of arrays of events, by collection.')
  }
  return Object.entries(body).map(([name, events]: [string, unknown]) => {
    if (Array.isArray(events)) return { collection: name, events }
    throw new AppError('InvalidBatchError', 'The request must be an object whose every value is an array of events.')
  })
}

function fillingOf({ options: { writes } }: Grant): Filling | null {
  const autofill = writes?.autofill ?? null
  return autofill === null ? null : { autofill, mayNotContradict: writes?.mayNotContradict === true }
}
