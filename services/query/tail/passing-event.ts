import { decodeEvent } from '../../shared/events/codec.ts'
import { idText, type LoggedEvent } from '../../shared/events/event.ts'
import { type MatchedEvent, parseForMatching } from '../../shared/filters/evaluate.ts'
import type { LogRecord } from '../../shared/log/port.ts'
import { shapeEvent } from '../language/event.ts'
import { eventMessage } from './messages.ts'

/** An event on its way through the log, taken apart only as far as somebody wants to know, and then once for all. */
export class PassingEvent {
  readonly #record: LogRecord
  readonly #event: LoggedEvent
  #matched: MatchedEvent | undefined
  #message: string | undefined

  /** Throws LOG_REJECTED when the record holds no event. */
  constructor(record: LogRecord, value: Buffer) {
    this.#record = record
    this.#event = decodeEvent(value)
  }

  get project(): string {
    return this.#event.project
  }

  get collection(): string {
    return this.#event.collection
  }

  /** As filters see it. Throws SyntaxError when its text is not JSON. */
  get matched(): MatchedEvent {
    const { id, timestampMs, createdAtMs } = this.#event
    this.#matched ??= { id: idText(id), timestampMs, createdAtMs, properties: parseForMatching(this.#text) }
    return this.#matched
  }

  /** The message that shows it, as an extraction would. */
  get message(): string {
    if (this.#message === undefined) {
      const { id, timestampMs, createdAtMs } = this.#event
      const event = shapeEvent([timestampMs, createdAtMs, idText(id), this.#text], null)
      const { partition, offset } = this.#record
      this.#message = eventMessage(`${partition}-${offset}`, JSON.stringify(event))
    }
    return this.#message
  }

  get #text(): string {
    return this.#event.properties.toString('utf8')
  }
}
