import { AppError } from '../shared/errors.ts'
import { type EncodableEvent, encodeEvent } from '../shared/events/codec.ts'
import { partitionOfKey } from '../shared/log/partition.ts'
import type { LogMessage } from '../shared/log/port.ts'
import type { Grant } from '../shared/registry/grant.ts'
import { requestRepeatKey, tokenRepeatKey } from './domain/repeat-key.ts'
import type { IngestSettings } from './settings.ts'

export interface BatchDeps {
  readonly eventPartitions: number
  readonly settings: Pick<IngestSettings, 'appendBytesMax'>
  readonly now: () => number
}

/** The messages that one request's events become. All of them are received at one time. */
export class MessageBatch {
  readonly #project: string
  readonly #idempotencyKey: string | undefined
  readonly #deps: BatchDeps
  readonly #newId: (nowMs: number) => Buffer
  /** When the request was received. */
  readonly createdAtMs: number
  /** Of events that are never repeats of another. */
  readonly #partition: number
  #messages: LogMessage[] = []
  #bytes = 0

  constructor(
    request: { readonly grant: Grant; readonly idempotencyKey: string | undefined },
    deps: BatchDeps,
    newId: (nowMs: number) => Buffer,
    partition: number,
  ) {
    this.#project = request.grant.projectId
    this.#idempotencyKey = request.idempotencyKey
    this.#deps = deps
    this.#newId = newId
    this.createdAtMs = deps.now()
    this.#partition = partition
  }

  get messages(): readonly LogMessage[] {
    return this.#messages
  }

  /** Forgets what was added. */
  clear(): void {
    this.#messages = []
    this.#bytes = 0
  }

  /** `index` is the event's place in its collection. Throws RequestEntityTooLargeError when the batch gets too large. */
  add(
    collection: string,
    index: number,
    timestampMs: number | undefined,
    uniquenessToken: string | undefined,
    properties: EncodableEvent['properties'],
  ): void {
    const repeatKey = this.#repeatKey(collection, index, uniquenessToken)
    const value = encodeEvent({
      project: this.#project,
      collection,
      id: this.#newId(this.createdAtMs),
      timestampMs: timestampMs ?? this.createdAtMs,
      createdAtMs: this.createdAtMs,
      repeatKey,
      properties,
    })
    const { eventPartitions, settings } = this.#deps
    this.#bytes += value.length
    if (this.#bytes > settings.appendBytesMax) {
      const message = `The events of the request take more than ${settings.appendBytesMax} bytes.`
      throw new AppError('RequestEntityTooLargeError', message)
    }
    const partition = repeatKey === null ? this.#partition : partitionOfKey(repeatKey, eventPartitions)
    this.#messages.push({ partition, key: repeatKey, value })
  }

  #repeatKey(collection: string, index: number, uniquenessToken: string | undefined): Buffer | null {
    if (uniquenessToken !== undefined) return tokenRepeatKey(this.#project, collection, uniquenessToken)
    if (this.#idempotencyKey === undefined) return null
    return requestRepeatKey(this.#project, collection, this.#idempotencyKey, index)
  }
}
