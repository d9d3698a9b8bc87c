import type { LogMessage } from '../port.ts'
import { type Producer, recordBytesMax } from './record-batch.ts'

/** One `append`, while parts of it wait or are on their way. */
export interface Call {
  /** Offset of the last message so far, by partition. */
  readonly last: Map<number, bigint>
  waitingFor: number
  failed: boolean
  readonly deadlineMs: number
  readonly resolve: (last: ReadonlyMap<number, bigint>) => void
  readonly reject: (error: unknown) => void
}

/** Consecutive messages of one call for one partition. */
export interface Piece {
  readonly call: Call
  readonly messages: readonly LogMessage[]
  readonly bytes: number
}

const sizeOf = (messages: readonly LogMessage[]): number =>
  messages.reduce((sum, message) => sum + recordBytesMax(message), 0)

export function failCall(call: Call, error: unknown): void {
  if (call.failed) return
  call.failed = true
  call.reject(error)
}

/** What goes out as one record batch; it stays the same however often it has to be sent. */
export interface Batch {
  readonly pieces: readonly Piece[]
  readonly sequence: number
  /** It was sent and nobody said what became of it: a broker may have it. */
  isInDoubt: boolean
}

/** Sequence numbers of a producer are 31 bits and then begin again. */
const SEQUENCES = 2 ** 31

/**
 * What waits for one partition, in the order in which it will be written, and the batch that is being written.
 *
 * An answer can get lost after the broker wrote a batch. So a batch has the lane's producer and a sequence number, and is
 * sent again unchanged until its outcome is known: the broker recognises it and writes it once. Where the outcome stays
 * unknown to the end, the next number is unknown too, and the lane goes on as a new producer.
 */
export class Lane {
  readonly partition: number
  /** Who this lane is to the brokers; undefined until one has said, and again when it has to be somebody new. */
  producer: Producer | undefined
  #batch: Batch | undefined
  #sequence = 0
  /** A batch of this partition is on its way. */
  busy = false
  /** Nothing is sent before this time of the monotonic clock: the last try failed. */
  restUntilMs = 0
  restMs = 0
  #pieces: Piece[] = []
  #messages = 0
  #bytes = 0

  constructor(partition: number) {
    this.partition = partition
  }

  push(call: Call, messages: readonly LogMessage[]): void {
    this.#add({ call, messages, bytes: sizeOf(messages) })
  }

  isFull(messagesMax: number, bytesMax: number): boolean {
    return this.#messages >= messagesMax || this.#bytes >= bytesMax
  }

  isReady(nowMs: number): boolean {
    return !this.busy && !this.isEmpty && nowMs >= this.restUntilMs
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0 && this.#batch === undefined
  }

  /** The batch to send now: the one whose outcome is open, else the next one; undefined when nothing waits. */
  next(messagesMax: number, bytesMax: number): Batch | undefined {
    if (this.#batch !== undefined) return this.#batch
    const pieces = this.#take(messagesMax, bytesMax)
    if (pieces.length > 0) this.#batch = { pieces, sequence: this.#sequence, isInDoubt: false }
    return this.#batch
  }

  /** The batch is in the log, from offset `base` on. */
  written(base: bigint): void {
    const { pieces = [] } = this.#batch ?? {}
    const count = pieces.reduce((sum, { messages }) => sum + messages.length, 0)
    this.#sequence = (this.#sequence + count) % SEQUENCES
    this.#batch = undefined
    this.#confirm(pieces, base)
  }

  /** The batch was refused. If an earlier try may have written it, its numbers may be taken, and the next batch must not have them. */
  refused(error: unknown): void {
    const { pieces = [], isInDoubt = false } = this.#batch ?? {}
    for (const { call } of pieces) failCall(call, error)
    this.#batch = undefined
    if (isInDoubt) this.#startAnew()
  }

  /** The brokers do not know this producer, or not this far. A batch that may be in the log all the same is not sent again. */
  disowned(error: unknown): void {
    if (this.#batch?.isInDoubt === true) this.refused(error)
    this.#startAnew()
  }

  #startAnew(): void {
    this.producer = undefined
    this.#sequence = 0
    if (this.#batch !== undefined) this.#batch = { ...this.#batch, sequence: 0, isInDoubt: false }
  }

  /** Whole pieces, or the beginning of one that is larger than a batch. Nothing of a failed call. */
  #take(messagesMax: number, bytesMax: number): Piece[] {
    const taken: Piece[] = []
    let messages = 0
    let bytes = 0
    let used = 0
    for (const piece of this.#pieces) {
      if (!piece.call.failed) {
        const fits = messages + piece.messages.length <= messagesMax && bytes + piece.bytes <= bytesMax
        if (!fits && taken.length > 0) break
        taken.push(piece)
        messages += piece.messages.length
        bytes += piece.bytes
      }
      used += 1
    }
    for (const piece of this.#pieces.splice(0, used)) this.#subtract(piece)
    const [only] = taken
    if (only === undefined || (messages <= messagesMax && bytes <= bytesMax)) return taken
    const [head, tail] = split(only, messagesMax, bytesMax)
    if (tail !== undefined) {
      only.call.waitingFor += 1
      this.#restore([tail])
    }
    return [head]
  }

  #restore(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.#messages += piece.messages.length
      this.#bytes += piece.bytes
    }
    this.#pieces.unshift(...pieces)
  }

  /** Fails the calls that have waited long enough. */
  expire(nowMs: number, error: unknown): void {
    const sent = this.#batch?.pieces ?? []
    for (const { call } of [...sent, ...this.#pieces]) if (nowMs >= call.deadlineMs) failCall(call, error)
    // Nobody waits for it any more. As long as somebody does, it is sent whole.
    if (this.#batch !== undefined && sent.every(({ call }) => call.failed)) {
      const { isInDoubt } = this.#batch
      this.#batch = undefined
      if (isInDoubt) this.#startAnew()
    }
    const kept = this.#pieces.filter(({ call }) => !call.failed)
    this.#pieces = []
    this.#messages = 0
    this.#bytes = 0
    for (const piece of kept) this.#add(piece)
  }

  #confirm(pieces: readonly Piece[], base: bigint): void {
    let next = base
    for (const { call, messages } of pieces) {
      next += BigInt(messages.length)
      call.last.set(this.partition, next - 1n)
      call.waitingFor -= 1
      if (call.waitingFor === 0 && !call.failed) call.resolve(call.last)
    }
  }

  #add(piece: Piece): void {
    this.#pieces.push(piece)
    this.#messages += piece.messages.length
    this.#bytes += piece.bytes
  }

  #subtract(piece: Piece): void {
    this.#messages -= piece.messages.length
    this.#bytes -= piece.bytes
  }
}

/** At least one message stays in the head. */
function split({ call, messages }: Piece, messagesMax: number, bytesMax: number): [Piece, Piece | undefined] {
  let bytes = 0
  let count = 0
  for (const message of messages) {
    const size = recordBytesMax(message)
    if (count > 0 && (count === messagesMax || bytes + size > bytesMax)) break
    bytes += size
    count += 1
  }
  const head = { call, messages: messages.slice(0, count), bytes }
  if (count === messages.length) return [head, undefined]
  const rest = messages.slice(count)
  return [head, { call, messages: rest, bytes: sizeOf(rest) }]
}
