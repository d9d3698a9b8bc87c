import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { failCall, Lane, type Call, type Piece } from '../../../../services/shared/log/kafka/lane.ts'
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

test('everything is written once, in order, in batches within the limits, whatever is put back in between', () => {
  const calls = fc.array(fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 30 }), { maxLength: 20 })
  fc.assert(
    fc.property(
      calls,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 40, max: 400 }),
      fc.infiniteStream(fc.boolean()),
      (texts, messagesMax, bytesMax, putBack) => {
        const lane = new Lane(0)
        const outcomes = texts.map((list) => {
          const outcome: Outcome = {}
          lane.push(newCall(outcome), list.map(message))
          return outcome
        })
        const log: (string | undefined)[] = []
        while (!lane.isEmpty) {
          const pieces = lane.take(messagesMax, bytesMax)
          const batch = pieces.flatMap(({ messages }) => messages)
          expect(batch.length).toBeLessThanOrEqual(messagesMax)
          if (batch.length > 1)
            expect(batch.reduce((sum, m) => sum + recordBytesMax(m), 0)).toBeLessThanOrEqual(bytesMax)
          if (putBack.next().value) {
            lane.restore(pieces)
            continue
          }
          lane.confirm(pieces, BigInt(log.length))
          log.push(...textsOf(pieces))
        }
        expect(log).toEqual(texts.flat())
        let end = 0
        for (const [i, list] of texts.entries()) {
          end += list.length
          expect(outcomes[i]?.last?.get(0)).toBe(BigInt(end - 1))
        }
      },
    ),
  )
})

test('what is left of a failed call is not written, and the calls behind it are', () => {
  const lane = new Lane(0)
  const [bad, good]: [Outcome, Outcome] = [{}, {}]
  const call = newCall(bad)
  lane.push(call, ['a', 'b', 'c'].map(message))
  lane.push(newCall(good), ['d'].map(message))
  const first = lane.take(2, 1_000)
  expect(textsOf(first)).toEqual(['a', 'b'])
  failCall(call, 'gone')
  expect(textsOf(lane.take(2, 1_000))).toEqual(['d'])
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
  expect(textsOf(lane.take(10, 1_000))).toEqual(['late'])
})
