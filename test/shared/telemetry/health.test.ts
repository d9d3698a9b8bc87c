import { expect, test } from 'vitest'
import { AppError } from '../../../services/shared/errors.ts'
import { createReadiness } from '../../../services/shared/telemetry/health.ts'

test('readiness names each part that cannot take work, by code', async () => {
  const isReady = createReadiness(
    {
      log: async () => {
        throw new AppError('LOG_UNAVAILABLE', 'secret')
      },
      warehouse: async () => {},
      disk: async () => new Promise(() => {}),
      other: async () => {
        throw new Error('secret')
      },
    },
    { timeoutMs: 20 },
  )
  expect(await isReady()).toEqual({
    ready: false,
    problems: [
      { part: 'log', code: 'LOG_UNAVAILABLE' },
      { part: 'disk', code: 'timeout' },
      { part: 'other', code: 'InternalServerError' },
    ],
  })
})

test('asking often asks the parts once, until the answer is no longer fresh', async () => {
  let asked = 0
  let nowMs = 0
  const isReady = createReadiness(
    {
      log: async () => {
        asked += 1
      },
    },
    { freshMs: 1_000, now: () => nowMs },
  )
  await Promise.all([isReady(), isReady(), isReady()])
  expect(asked).toBe(1)
  nowMs = 1_000
  expect(await isReady()).toEqual({ ready: true, problems: [] })
  expect(asked).toBe(2)
})
