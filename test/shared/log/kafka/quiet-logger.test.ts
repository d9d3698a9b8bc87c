import { expect, test } from 'vitest'
import { quietLogger } from '../../../../services/shared/log/kafka/quiet-logger.ts'

test('a message is passed on at once, then once in ten seconds with how often it was held back', () => {
  const lines: [object, string][] = []
  let nowMs = 0
  const logger = quietLogger({ warn: (details, message) => void lines.push([details, message]) }, () => nowMs)
  for (; nowMs < 20_000; nowMs += 1_000) logger.warn({ at: nowMs }, 'no broker')
  logger.warn({ at: nowMs }, 'something else')
  expect(lines).toEqual([
    [{ at: 0 }, 'no broker'],
    [{ at: 10_000, heldBack: 9 }, 'no broker'],
    [{ at: 20_000 }, 'something else'],
  ])
})
