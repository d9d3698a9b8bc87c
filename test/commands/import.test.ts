import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startRecordingServer } from './support/recording-server.ts'

const MAIN = join(import.meta.dirname, '../../services/main.ts')
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'import-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const lines = (count: number): string =>
  Array.from({ length: count }, (_, index) => `${JSON.stringify({ n: index, at: index })}\n`).join('')

function start(url: string, file: string, more: readonly string[] = []) {
  const args = [MAIN, 'import', file, '--url', url, '--project', 'P', '--collection', 'c', ...more]
  const child = spawn(process.execPath, args, { env: { ...process.env, TRIBUTARY_KEY: 'W' }, stdio: 'pipe' })
  return { child, done: Promise.all([once(child, 'exit'), text(child.stderr)]) }
}

async function run(url: string, file: string, more: readonly string[] = [], input?: string) {
  const { child, done } = start(url, file, more)
  child.stdin.end(input)
  const [[code], said] = await done
  return { code: code as number, said }
}

const numbers = (events: readonly Record<string, unknown>[]): unknown[] =>
  events.map(({ n }) => n).toSorted((a, b) => Number(a) - Number(b))
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test('a plain file, a gzip and standard input arrive whole', async () => {
  const plain = join(folder, 'events.jsonl')
  const zipped = join(folder, 'events.jsonl.gz')
  await writeFile(plain, lines(250))
  await writeFile(zipped, Buffer.concat([gzipSync(lines(100)), gzipSync('{"n":100}')]))
  await using one = await startRecordingServer()
  expect(await run(one.url, plain, ['--batch', '30'])).toMatchObject({ code: 0 })
  expect(numbers(one.events())).toEqual(range(250))
  await using two = await startRecordingServer()
  expect(await run(two.url, zipped, ['--batch', '30'])).toMatchObject({ code: 0 })
  expect(numbers(two.events())).toEqual(range(101))
  await using three = await startRecordingServer()
  expect(await run(three.url, '-', ['--batch', '30', '--errors', join(folder, 'e')], lines(70))).toMatchObject({
    code: 0,
  })
  expect(numbers(three.events())).toEqual(range(70))
})

test('killed in the middle and run again, every event is stored exactly once', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, lines(2_000))
  const reached = Promise.withResolvers<void>()
  // The answers of the last batches before the kill are lost, though their events are stored.
  await using server = await startRecordingServer(({ number }) => {
    if (number === 12) reached.resolve()
    return number > 8 && number <= 12 ? 'drop-after-storing' : undefined
  })
  const more = ['--batch', '50', '--concurrency', '4']
  const { child, done } = start(server.url, file, more)
  await reached.promise
  child.kill('SIGKILL')
  await done
  const before = server.requests()
  expect(server.events().length).toBeLessThan(2_000)
  const again = await run(server.url, file, more)
  expect(again.code).toBe(0)
  expect(again.said).toMatch(/Going on after line [1-9]/)
  expect(numbers(server.events())).toEqual(range(2_000))
  expect(server.requests() - before).toBeLessThan(40) // it did not begin anew
  // A third run has nothing to do.
  const requests = server.requests()
  expect(await run(server.url, file, more)).toMatchObject({ code: 0 })
  expect(server.requests()).toBe(requests)
})

test('a server that is busy, or drops the connection, is tried again', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, lines(100))
  await using server = await startRecordingServer(({ number }) => {
    if (number === 1) return { status: 503, body: { error_code: 'ServiceUnavailableError', message: 'busy' } }
    return number === 2 ? 'drop-after-storing' : undefined
  })
  expect(await run(server.url, file, ['--concurrency', '1'])).toMatchObject({ code: 0 })
  expect(numbers(server.events())).toEqual(range(100))
})

test('lines that are not events are named in a file, and the others are stored', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, '{"n":0}\nnot json\n\n[1]\n{"bad.name":1}\n{"n":1}\n')
  await using server = await startRecordingServer()
  const { code, said } = await run(server.url, file)
  expect(code).toBe(2)
  expect(said).toContain('2 events stored, 3 lines refused')
  expect(numbers(server.events())).toEqual([0, 1])
  const errors = (await readFile(`${file}.errors.jsonl`, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(errors.map(({ line, name }) => [line, name])).toEqual([
    [2, 'InvalidJSONError'],
    [4, 'InvalidEventError'],
    [5, 'InvalidPropertyNameError'],
  ])
})

test('a batch that is too large is halved; an event that is too large is named', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, lines(8))
  await using server = await startRecordingServer(({ name }) =>
    name.split('.').length < 4
      ? { status: 413, body: { error_code: 'RequestEntityTooLargeError', message: 'big' } }
      : undefined,
  )
  expect(await run(server.url, file)).toMatchObject({ code: 0 })
  expect(numbers(server.events())).toEqual(range(8))
})

test('a wrong key stops the import with the server’s sentence', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, lines(10))
  await using server = await startRecordingServer(() => ({
    status: 401,
    body: { error_code: 'InvalidApiKeyError', message: 'The key is not known.' },
  }))
  const { code, said } = await run(server.url, file)
  expect(code).toBe(1)
  expect(said).toContain('The key is not known. (InvalidApiKeyError, HTTP 401)')
  expect(server.requests()).toBe(1)
})

test('with nobody there, it stops after its patience and says how to go on', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, lines(10))
  const server = await startRecordingServer()
  await server[Symbol.asyncDispose]()
  const { code, said } = await run(server.url, file, ['--patience', '1'])
  expect(code).toBe(3)
  expect(said).toContain('The same command goes on from here.')
})

test('events that were extracted lose their id and time of arrival, and nothing else, not a digit', async () => {
  const file = join(folder, 'events.jsonl')
  const keen =
    '"keen":{"timestamp":"2020-01-01T00:00:00.000Z","created_at":"2020-01-02T00:00:00.000Z","id":"5f0000000000000000000001"}'
  await writeFile(
    file,
    `{"id":7,"big":9223372036854775807,${keen}}\n{"created_at":"mine","keen":{"timestamp":"2020"}}\n`,
  )
  const bodies: string[] = []
  await using server = await startRecordingServer(({ sent }) => {
    bodies.push(sent)
    return undefined
  })
  expect(await run(server.url, file)).toMatchObject({ code: 0 })
  expect(bodies.join()).toContain('"big":9223372036854775807,')
  expect(server.events()).toMatchObject([
    { id: 7, keen: { timestamp: '2020-01-01T00:00:00.000Z' } },
    { created_at: 'mine', keen: { timestamp: '2020' } },
  ])
  expect(bodies.join()).not.toContain('5f0000000000000000000001')
})

test('a property becomes the event’s time; another file under the same state is refused', async () => {
  const file = join(folder, 'events.jsonl')
  await writeFile(file, '{"n":0,"at":1000000000}\n{"n":1,"at":"2001-01-01T00:00:00Z"}\n{"n":2}\n')
  await using server = await startRecordingServer()
  expect(await run(server.url, file, ['--timestamp-property', 'at'])).toMatchObject({ code: 2 })
  expect(server.events()).toEqual([
    { n: 0, keen: { timestamp: '2001-09-09T01:46:40.000Z' } },
    { n: 1, keen: { timestamp: '2001-01-01T00:00:00Z' } },
  ])
  await writeFile(file, lines(5))
  const { code, said } = await run(server.url, file, ['--timestamp-property', 'at'])
  expect(code).toBe(1)
  expect(said).toMatch(/differs in: size, modified_ms.*--restart/)
})
