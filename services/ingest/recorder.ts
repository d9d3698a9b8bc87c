import { AppError } from '../shared/errors.ts'
import { encodeEvent } from '../shared/events/codec.ts'
import { partitionOfKey } from '../shared/log/partition.ts'
import type { EventLog, LogMessage } from '../shared/log/port.ts'
import { EVENTS_TOPIC } from '../shared/log/topics.ts'
import type { Grant } from '../shared/registry/grant.ts'
import { collectionNameFault } from './domain/collection-name.ts'
import type { Fault } from './domain/fault.ts'
import type { JsonObject } from './domain/json-object.ts'
import { isFault } from './domain/keen-namespace.ts'
import { EventPreparer, INEXACT } from './domain/prepare-event.ts'
import { requestRepeatKey, tokenRepeatKey } from './domain/repeat-key.ts'
import { createEventIds } from './event-ids.ts'
import type { IngestMetrics } from './metrics.ts'
import type { IngestSettings } from './settings.ts'

export interface RecorderDeps {
  readonly log: Pick<EventLog, 'append'>
  readonly eventPartitions: number
  readonly metrics: IngestMetrics
  readonly settings: IngestSettings
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface Recording {
  readonly grant: Grant
  readonly idempotencyKey: string | undefined
  /** The request's body; an object of collections, or one event when `collection` names where it goes. */
  readonly body: unknown
  readonly collection: string | undefined
}

/** Per collection, in the request's order: its event count, and the faults by place. */
export interface CollectionOutcome {
  readonly collection: string
  readonly count: number
  readonly faults: ReadonlyMap<number, Fault>
}

/** Checks the events of one request and puts the good ones into the log, in one append. */
export class Recorder {
  readonly #deps: RecorderDeps
  readonly #preparer: EventPreparer
  readonly #newId = createEventIds()
  #turn = Math.floor(Math.random() * 0x1000_0000)

  constructor(deps: RecorderDeps) {
    this.#deps = deps
    this.#preparer = new EventPreparer(deps.settings)
  }

  /**
   * Resolves once the good events are durable. INEXACT, having done nothing: parse the body exactly, and record that.
   * Rejects with InvalidBatchError or RequestEntityTooLargeError, having recorded nothing, and with what the log says.
   */
  async record(recording: Recording): Promise<readonly CollectionOutcome[] | typeof INEXACT> {
    const { metrics, settings } = this.#deps
    const batch = batchOf(recording)
    let received = 0
    for (const { events } of batch) received += events.length
    if (received > settings.eventsPerRequestMax) {
      const message = `The request has ${received} events, at most ${settings.eventsPerRequestMax} are allowed.`
      throw new AppError('RequestEntityTooLargeError', message)
    }
    const messages: LogMessage[] = []
    const outcomes = this.#prepare(recording, batch, messages)
    if (outcomes === INEXACT) return INEXACT

    metrics.received.inc(received)
    for (const { faults } of outcomes) {
      for (const { code } of faults.values()) metrics.rejected.inc({ reason: code })
    }
    if (messages.length > 0) await this.#append(messages)
    return outcomes
  }

  #prepare(
    { grant, idempotencyKey }: Recording,
    batch: readonly CollectionEvents[],
    messages: LogMessage[],
  ): readonly CollectionOutcome[] | typeof INEXACT {
    const { eventPartitions, settings } = this.#deps
    const project = grant.projectId
    const autofill = autofillOf(grant)
    const createdAtMs = this.#deps.now()
    // The events of a request that may go anywhere go to one place: larger writes for the log, larger reads after it.
    this.#turn = (this.#turn + 1) % eventPartitions
    let bytes = 0
    const outcomes: CollectionOutcome[] = []
    for (const { collection, events } of batch) {
      const faults = new Map<number, Fault>()
      outcomes.push({ collection, count: events.length, faults })
      const nameFault = collectionNameFault(collection)
      for (let i = 0; i < events.length; i += 1) {
        const prepared = nameFault ?? this.#preparer.prepare(events[i], autofill)
        if (prepared === INEXACT) return INEXACT
        if (isFault(prepared)) {
          faults.set(i, prepared)
          continue
        }
        const { timestampMs, uniquenessToken, properties } = prepared
        let repeatKey: Buffer | null = null
        if (uniquenessToken !== undefined) repeatKey = tokenRepeatKey(project, collection, uniquenessToken)
        else if (idempotencyKey !== undefined) repeatKey = requestRepeatKey(project, collection, idempotencyKey, i)
        const value = encodeEvent({
          project,
          collection,
          id: this.#newId(createdAtMs),
          timestampMs: timestampMs ?? createdAtMs,
          createdAtMs,
          repeatKey,
          properties,
        })
        bytes += value.length
        if (bytes > settings.appendBytesMax) throw tooLarge(settings.appendBytesMax)
        const partition = repeatKey === null ? this.#turn : partitionOfKey(repeatKey, eventPartitions)
        messages.push({ partition, key: repeatKey, value })
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

function batchOf({ body, collection }: Recording): readonly CollectionEvents[] {
  if (collection !== undefined) return [{ collection, events: [body] }]
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new AppError('InvalidBatchError', 'The request must be an object of arrays of events, by collection.')
  }
  return Object.entries(body).map(([name, events]: [string, unknown]) => {
    if (Array.isArray(events)) return { collection: name, events }
    throw new AppError('InvalidBatchError', 'The request must be an object whose every value is an array of events.')
  })
}

const tooLarge = (bytesMax: number): AppError =>
  new AppError('RequestEntityTooLargeError', `The events of the request take more than ${bytesMax} bytes.`)

const autofillOf = (grant: Grant): Readonly<JsonObject> | null => grant.options.writes?.autofill ?? null
