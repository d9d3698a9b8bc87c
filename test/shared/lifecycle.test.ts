import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { type Life, live, type ProcessLike } from '../../services/shared/lifecycle.ts'

function stage() {
  const emitter = new EventEmitter()
  const exits: number[] = []
  const lines: string[] = []
  const process = Object.assign(emitter, { exit: (code: number) => void exits.push(code) }) as unknown as ProcessLike
  const log = {
    info: (_fields: object, message: string) => void lines.push(message),
    error: (_fields: object, message: string) => void lines.push(message),
  }
  const events: string[] = []
  const run = (start: (life: Life) => Promise<void>, drainMs = 60_000) => live({ drainMs, log, process }, start)
  return { emitter, exits, lines, events, run }
}

test('SIGTERM closes what was opened, in reverse, and the exit code is 0', async () => {
  const { emitter, events, run } = stage()
  const ended = run((life) => {
    life.opened.defer(() => void events.push('log closed'))
    life.opened.defer(() => void events.push('server closed'))
    life.signal.addEventListener('abort', () => events.push('told'))
    setImmediate(() => emitter.emit('SIGTERM', 'SIGTERM'))
    return Promise.resolve()
  })
  expect(await ended).toBe(0)
  expect(events).toEqual(['told', 'server closed', 'log closed'])
  expect(emitter.eventNames()).toEqual([])
})

test('a second signal leaves at once', async () => {
  const { emitter, exits, run } = stage()
  const closing = Promise.withResolvers<void>()
  const ended = run((life) => {
    life.opened.defer(() => {
      emitter.emit('SIGINT', 'SIGINT')
      return closing.promise
    })
    setImmediate(() => emitter.emit('SIGINT', 'SIGINT'))
    return Promise.resolve()
  })
  await expect.poll(() => exits).toEqual([1])
  closing.resolve()
  await ended
})

test('a background task that breaks off drains the rest and ends with 1', async () => {
  const { events, lines, run } = stage()
  const code = await run((life) => {
    life.opened.defer(() => void events.push('closed'))
    life.background('loader', Promise.reject(new Error('broken')))
    return Promise.resolve()
  })
  expect(code).toBe(1)
  expect(events).toEqual(['closed'])
  expect(lines).toContain('task failed: stopping')
})

test('what was opened is closed when the start fails, and the failure is what the caller sees', async () => {
  const { events, run } = stage()
  const failure = new Error('port in use')
  const ended = run((life) => {
    life.opened.defer(() => void events.push('closed'))
    return Promise.reject(failure)
  })
  await expect(ended).rejects.toBe(failure)
  expect(events).toEqual(['closed'])
})

test('an error that nobody caught ends the process with 1', async () => {
  const { emitter, exits, run } = stage()
  const ended = run(() => {
    setImmediate(() => {
      emitter.emit('unhandledRejection', new Error('nobody caught this'))
      emitter.emit('SIGTERM', 'SIGTERM')
    })
    return Promise.resolve()
  })
  await ended
  expect(exits).toEqual([1])
})

test('a drain that takes longer than its deadline ends the process', async () => {
  const { emitter, exits, run } = stage()
  const closing = Promise.withResolvers<void>()
  const ended = run((life) => {
    life.opened.defer(() => closing.promise)
    setImmediate(() => emitter.emit('SIGTERM', 'SIGTERM'))
    return Promise.resolve()
  }, 20)
  await expect.poll(() => exits).toEqual([1])
  closing.resolve()
  await ended
})
