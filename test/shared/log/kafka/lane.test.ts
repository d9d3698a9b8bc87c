import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Batch, type Call, failCall, Lane, type Piece } from '../../../../services/shared/log/kafka/lane.ts'
import { recordBytesMax } from '../../../../services/shared/log/kafka/record-batch.ts'
import type { LogMessage } from '../../../../services/shared/log/port.ts'

interface Outcome {
  last?: ReadonlyMap<number, bigint>
  error?: unknown
}

function newCall(outcome: Outcome, deadlineMs = Number.POSITIVE_INFINITY): Call {
  return {
    last: new Map(),
    waitingFor: 1,
    failed: false,
    deadlineMs,
    resolve: (last) => (outcome.last = last),
    reject: (error) => (outcome.error = error),
  }
}

const message = (text: string): LogMessage => ({ partition: 0, key: null, value: Buffer.from(text) })
const textsOf = (pieces: readonly Piece[]) => pieces.flatMap((p) => p.messages.map((m) => m.value?.toString()))

/** What a broker does for one partition: it knows the next number of each producer, and the batch before it. */
class ModelBroker {
  readonly log: (string | undefined)[] = []
  readonly #next = new Map<number, number>()
  readonly #last = new Map<number, { sequence: number; base: bigint }>()

  write(producer: number, { sequence, pieces }: Batch): bigint | 'out of order' {
    const last = this.#last.get(producer)
    if (last?.sequence === sequence) return last.base
    if (sequence !== (this.#next.get(producer) ?? 0)) return 'out of order'
    const base = BigInt(this.log.length)
    const texts = textsOf(pieces)
    this.log.push(...texts)
    this.#next.set(producer, sequence + texts.length)
    this.#last.set(producer, { sequence, base })
    return base
  }
}

test('everything is written once, in order, in batches within the limits, whichever requests or answers are lost', () => {
  const calls = fc.array(fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 30 }), { maxLength: 20 })
  const fates = fc.infiniteStream(fc.constantFrom('answered' as const, 'request lost' as const, 'answer lost' as const))
  fc.assert(
    fc.property(
      calls,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 40, max: 400 }),
      fates,
      (texts, messagesMax, bytesMax, fate) => {
        const lane = new Lane(0)
        const broker = new ModelBroker()
        const outcomes = texts.map((list) => {
          const outcome: Outcome = {}
          lane.push(newCall(outcome), list.map(message))
          return outcome
        })
        while (!lane.isEmpty) {
          const batch = lane.next(messagesMax, bytesMax)
          if (batch === undefined) throw new Error('nothing to send')
          const messages = batch.pieces.flatMap((piece) => piece.messages)
          expect(messages.length).toBeLessThanOrEqual(messagesMax)
          if (messages.length > 1)
            expect(messages.reduce((sum, m) => sum + recordBytesMax(m), 0)).toBeLessThanOrEqual(bytesMax)
          const happens = fate.next().value
          const base = happens === 'request lost' ? undefined : broker.write(1, batch)
          if (happens !== 'answered') batch.isInDoubt = true
          else if (typeof base === 'bigint') lane.written(base)
          else throw new Error('the broker lost count')
        }
        expect(broker.log).toEqual(texts.flat())
        let end = 0
        for (const [i, list] of texts.entries()) {
          end += list.length
          expect(outcomes[i]?.last?.get(0)).toBe(BigInt(end - 1))
        }
      },
    ),
  )
})

test('a batch whose outcome stays unknown to the end is given up, and the lane goes on as a new producer', () => {
  const lane = new Lane(0)
  lane.producer = { id: 1n, epoch: 0 }
  const outcome: Outcome = {}
  lane.push(newCall(outcome, 100), [message('perhaps')])
  const batch = lane.next(10, 1_000)
  if (batch === undefined) throw new Error('nothing to send')
  batch.isInDoubt = true
  lane.expire(150, 'unknown')
  expect(outcome.error).toBe('unknown')
  expect(lane.producer).toBeUndefined()
  lane.push(newCall({}), [message('next')])
  expect(lane.next(10, 1_000)).toMatchObject({ sequence: 0, isInDoubt: false })
})

test('a batch that a broker disowns goes out again under a new producer, unless it may be in the log', () => {
  const lane = new Lane(0)
  lane.producer = { id: 1n, epoch: 0 }
  const outcome: Outcome = {}
  lane.push(newCall(outcome), [message('a')])
  lane.next(10, 1_000)
  lane.disowned('unknown')
  expect(lane.producer).toBeUndefined()
  const again = lane.next(10, 1_000)
  if (again === undefined) throw new Error('nothing to send')
  expect(textsOf(again.pieces)).toEqual(['a'])
  again.isInDoubt = true
  lane.disowned('unknown')
  expect(outcome.error).toBe('unknown')
  expect(lane.isEmpty).toBe(true)
})

test('after a refusal of a batch that may be in the log, its numbers are not given to another', () => {
  const lane = new Lane(0)
  lane.producer = { id: 1n, epoch: 0 }
  lane.push(newCall({}), [message('a')])
  const batch = lane.next(10, 1_000)
  if (batch === undefined) throw new Error('nothing to send')
  lane.refused('too large')
  expect(lane.producer).toBeDefined()
  lane.push(newCall({}), [message('b')])
  const doubtful = lane.next(10, 1_000)
  if (doubtful === undefined) throw new Error('nothing to send')
  doubtful.isInDoubt = true
  lane.refused('no longer allowed')
  expect(lane.producer).toBeUndefined()
})

test('what is left of a failed call is not written, and the calls behind it are', () => {
  const lane = new Lane(0)
  const [bad, good]: [Outcome, Outcome] = [{}, {}]
  const call = newCall(bad)
  lane.push(call, ['a', 'b', 'c'].map(message))
  lane.push(newCall(good), ['d'].map(message))
  expect(textsOf(lane.next(2, 1_000)?.pieces ?? [])).toEqual(['a', 'b'])
  failCall(call, 'gone')
  lane.written(0n)
  expect(textsOf(lane.next(2, 1_000)?.pieces ?? [])).toEqual(['d'])
  lane.written(2n)
  expect(lane.isEmpty).toBe(true)
  expect(bad.error).toBe('gone')
})

test('only calls that have waited beyond their deadline are given up', () => {
  const lane = new Lane(0)
  const [early, late]: [Outcome, Outcome] = [{}, {}]
  lane.push(newCall(early, 100), [message('early')])
  lane.push(newCall(late, 200), [message('late')])
  lane.expire(150, 'too late')
  expect(early.error).toBe('too late')
  expect(late.error).toBeUndefined()
  expect(textsOf(lane.next(10, 1_000)?.pieces ?? [])).toEqual(['late'])
})
