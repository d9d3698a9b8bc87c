import type { LogMessage } from '../port.ts'
import { recordBytesMax } from './record-batch.ts'

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

/** What waits for one partition, in the order in which it will be written. */
export class Lane {
  readonly partition: number
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
    return !this.busy && this.#pieces.length > 0 && nowMs >= this.restUntilMs
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0
  }

  /** The next batch: whole pieces, or the beginning of one that is larger than a batch. Nothing of a failed call. */
  take(messagesMax: number, bytesMax: number): Piece[] {
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
      this.restore([tail])
    }
    return [head]
  }

  /** Puts back what was taken and not written. */
  restore(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.#messages += piece.messages.length
      this.#bytes += piece.bytes
    }
    this.#pieces.unshift(...pieces)
  }

  /** Fails the calls that have waited long enough. */
  expire(nowMs: number, error: unknown): void {
    for (const { call } of this.#pieces) if (nowMs >= call.deadlineMs) failCall(call, error)
    const kept = this.#pieces.filter(({ call }) => !call.failed)
    this.#pieces = []
    this.#messages = 0
    this.#bytes = 0
    for (const piece of kept) this.#add(piece)
  }

  /** The pieces are written, from offset `base` on. */
  confirm(pieces: readonly Piece[], base: bigint): void {
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
