import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRows } from '../../services/query/extraction/row-reader.ts'
import { AppError } from '../../services/shared/errors.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../services/shared/warehouse/row-binary.ts'
import { buildQueryApi, SETTINGS } from './api.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const NOW = Date.UTC(2026, 0, 10, 12)
const KEYS = {
  READ: grantFor(P, undefined, 'read'),
  NARROW: grantFor(P, [{ property_name: 'user', operator: 'eq', property_value: 'ted' }]),
}
/** Each in a form that the shortcut of the writer must not spoil. */
const BODIES = [
  '{"user":"ted","n":1}',
  '{}',
  '{ "user" : "bob",\n "n": 2.50 }',
  '{"user":"ted","keen":{"location":{"coordinates":[1.5,2]}}}',
  '{"user":"ann","k\\u0065en2":1,"\\u006been":{"x":1}}',
  '{"big":9007199254740993,"s":"\\u2028 \u2028 é😀"}',
  '{"user":{"name":"x, \\"y\\"","tags":["a","b,c"],"empty":{},"none":null},"n":"=1+1"}',
  '{"user":"","n":true,"list":[{"a":1},{"a":2}],"lines":"a\\nb\\rc"}',
]
const MANY = 5_000

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let api: ReturnType<typeof buildQueryApi>

beforeAll(async () => {
  opened = await openTestWarehouse()
  api = buildQueryApi({ warehouse: opened.warehouse, keys: KEYS, nowMs: NOW })
  const event = (collection: string, body: string, i: number) => ({
    project: P,
    collection,
    timestampMs: NOW + i,
    createdAtMs: NOW,
    id: hexId(i),
    body,
  })
  await store(opened.warehouse, [
    ...BODIES.map((body, i) => event('odd', body, i)),
    ...Array.from({ length: MANY }, (_, i) => event('many', `{"i":${i},"text":"${'x'.repeat(1_000)}"}`, i)),
  ])
})
afterAll(async () => {
  await api.app.close()
  await opened.close()
})

const ask = async (
  fields: Record<string, unknown>,
  options: { key?: string; app?: typeof api.app; headers?: Record<string, string> } = {},
) =>
  (options.app ?? api.app).inject({
    method: 'POST',
    url: `/3.0/projects/${P}/queries/extraction?api_key=${options.key ?? 'READ'}`,
    payload: JSON.stringify({ event_collection: 'odd', timeframe: 'today', ...fields }),
    headers: options.headers ?? {},
  })
const keen = (i: number) => ({
  timestamp: new Date(NOW + i).toISOString(),
  created_at: new Date(NOW).toISOString(),
  id: `0192f0c0-a1b2-7c3d-8e4f-${i.toString(16).padStart(12, '0')}`,
})
const wanted = BODIES.map((body, i) => {
  const sent = JSON.parse(body) as { keen?: object }
  return { ...sent, keen: { ...sent.keen, ...keen(i) } }
})

describe('an extraction', () => {
  test('gives every event whole, however its text was written, oldest first', async () => {
    const answer = await ask({})
    expect(answer.json()).toEqual({ result: wanted })
    expect(answer.body).toContain('9007199254740993')
    for (const name of ['"keen"', '"id"']) expect(answer.body.split(name)).toHaveLength(BODIES.length + 1)
  })

  test('gives nothing as an empty list, and the latest newest first', async () => {
    const none = { filters: [{ property_name: 'user', operator: 'eq', property_value: 'nobody' }] }
    expect((await ask(none)).body).toBe('{"result":[]}')
    expect((await ask({ latest: 2 })).json()).toEqual({ result: wanted.toReversed().slice(0, 2) })
  })

  test('gives the chosen properties nested, and keen only when it is asked for', async () => {
    const { result } = (await ask({ property_names: ['user.name', 'keen.id'], latest: 2 })).json()
    expect(result).toEqual([{ keen: { id: keen(7).id } }, { user: { name: 'x, "y"' }, keen: { id: keen(6).id } }])
  })

  test('tells what was read behind the result when asked', async () => {
    for (const latest of [undefined, 3]) {
      const answer = await ask({ include_metadata: true, latest, property_names: 'user' })
      expect(Object.keys(answer.json())).toEqual(['result', 'execution_metadata'])
      expect(answer.json().execution_metadata).toMatchObject({ properties_per_event: 1 })
      // Rows are read by the granule.
      expect(answer.json().execution_metadata.events_scanned).toBeGreaterThanOrEqual(latest ?? BODIES.length)
    }
  })

  test('shows an access key its rows alone, in every form', async () => {
    for (const content_type of ['application/json', 'application/x-ndjson', 'text/csv']) {
      const { body } = await ask({ content_type }, { key: 'NARROW' })
      expect(body).toContain(keen(0).id)
      expect(body).toContain(keen(3).id)
      for (const hidden of ['bob', 'ann', 'empty', 'list', keen(2).id]) expect(body).not.toContain(hidden)
    }
  })

  test('is a line an event when asked for JSON lines', async () => {
    for (const content_type of ['application/x-ndjson', 'application/json-stream']) {
      const answer = await ask({ content_type })
      expect(answer.headers['content-type']).toContain('application/x-ndjson')
      const lines = answer.body.split('\n')
      expect(lines.pop()).toBe('')
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(wanted)
    }
  })

  test('is a table of dotted paths when asked for CSV: quotes where they are needed, lists as JSON, nothing where nothing is', async () => {
    const answer = await ask({
      content_type: 'text/csv',
      property_names: ['n', 'user', 'lines', 'list', 'missing', 'keen.id'],
    })
    expect(answer.headers['content-type']).toContain('text/csv')
    const id = (i: number) => keen(i).id
    expect(answer.body).toBe(
      [
        'n,user,user.name,user.tags,lines,list,missing,keen.id',
        `1,ted,,,,,,${id(0)}`,
        `,,,,,,,${id(1)}`,
        `2.5,bob,,,,,,${id(2)}`,
        `,ted,,,,,,${id(3)}`,
        `,ann,,,,,,${id(4)}`,
        `,,,,,,,${id(5)}`,
        `=1+1,,"x, ""y""","[""a"",""b,c""]",,,,${id(6)}`,
        `true,"",,,"a\nb\rc","[{""a"":1},{""a"":2}]",,${id(7)}`,
        '',
      ].join('\r\n'),
    )
    const whole = (await ask({ content_type: 'text/csv', latest: 3 })).body.split('\r\n')
    expect(whole[0]).toBe('keen.timestamp,keen.created_at,keen.id,big,lines,list,n,s,user,user.name,user.tags')
    expect(whole).toHaveLength(5)
    expect(whole[3]).toContain('9007199254740993')
  })

  test('is gzip when asked for, or when the caller takes it', async () => {
    for (const answer of [
      await ask({ content_encoding: 'gzip' }),
      await ask({}, { headers: { 'accept-encoding': 'gzip' } }),
    ]) {
      expect(answer.headers['content-encoding']).toBe('gzip')
      expect(JSON.parse(gunzipSync(answer.rawPayload).toString())).toEqual({ result: wanted })
    }
  })

  test('is a script when asked with jsonp, and has a head', async () => {
    const url = `/3.0/projects/${P}/queries/extraction?api_key=READ&event_collection=odd&timeframe=today`
    const script = await api.app.inject(`${url}&jsonp=call.me`)
    expect(script.headers['content-type']).toContain('javascript')
    expect(script.body).not.toContain('\u2028')
    const argument = /^call\.me\((.*)\)$/s.exec(script.body)?.[1] ?? ''
    expect(JSON.parse(argument)).toEqual({ result: wanted })
    const head = await api.app.inject({ method: 'HEAD', url })
    expect([head.statusCode, head.body]).toEqual([200, ''])
    expect(head.headers['content-type']).toBe('application/json; charset=utf-8')
  })
})

test.each([
  [{ content_type: 'text/xml' }, 'content_type'],
  [{ content_type: 7 }, 'content_type'],
  [{ content_encoding: 'br' }, 'content_encoding'],
  [{ email: 'nobody' }, 'email'],
  [{ email_address: ['a@b'] }, 'email_address'],
  [{ async: 'yes' }, 'async'],
  [{ latest: 0 }, 'latest'],
])('%j is refused by its name', async (fields, name) => {
  const answer = await ask(fields)
  expect([answer.statusCode, answer.json().error_code]).toEqual([400, 'InvalidRequestFieldError'])
  expect(answer.json().message).toContain(name)
})

test('what is too large is refused before anything of it is sent: events, events gone through, bytes', async () => {
  const under = (settings: Partial<(typeof SETTINGS)['extraction']>, resultBytes = 1_000_000_000) =>
    buildQueryApi({
      warehouse: opened.warehouse,
      keys: KEYS,
      nowMs: NOW,
      settings: {
        ...SETTINGS,
        limits: { ...SETTINGS.limits, read: { ...SETTINGS.limits.read, resultBytes } },
        extraction: { ...SETTINGS.extraction, ...settings },
      },
    }).app
  const many = { event_collection: 'many' }
  for (const [app, fields] of [
    [under({ eventsMax: MANY - 1 }), many],
    [under({ eventsMax: 10 }), { ...many, latest: 11 }],
    [under({ scannedMax: 100 }), many],
    [under({}, 1_000_000), many],
    [under({}, 1_000_000), { ...many, latest: MANY }],
  ] as const) {
    const answer = await ask(fields, { app })
    expect([answer.statusCode, answer.json().error_code]).toEqual([400, 'ExtractionTooLargeError'])
  }
  expect((await ask(many, { app: under({ eventsMax: MANY }) })).json().result).toHaveLength(MANY)
  expect(
    (await ask({ ...many, latest: 10 }, { app: under({ eventsMax: 10, scannedMax: 100 }) })).json().result,
  ).toHaveLength(10)
})

/** A GET over a socket: everything up to its end, and whether the body ended as the protocol says. */
async function raw(port: number, path: string): Promise<{ readonly text: string; readonly isWhole: boolean }> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString()))
  await new Promise((resolve) => socket.once('close', resolve).once('error', () => undefined))
  return { text, isWhole: text.endsWith('\r\n0\r\n\r\n') }
}

const PATH = `/3.0/projects/${P}/queries/extraction?api_key=READ&event_collection=many&timeframe=today`

test('a warehouse that fails half-way breaks the connection: half an answer does not end like a whole one', async () => {
  const failing: Warehouse = {
    ...opened.warehouse,
    kind: 'chdb',
    read: async (request) => opened.warehouse.read(request),
    stream: async (request) => {
      const whole = (await opened.warehouse.stream(request)) as AsyncIterable<Buffer>
      const half = async function* () {
        for await (const chunk of whole) {
          yield chunk.subarray(0, 100_000)
          await new Promise((resolve) => setTimeout(resolve, 50))
          throw new AppError('WAREHOUSE_UNAVAILABLE', 'gone')
        }
      }
      return Readable.from(half(), { objectMode: false })
    },
  }
  for (const [warehouse, isWhole] of [
    [opened.warehouse, true],
    [failing, false],
  ] as const) {
    const { app } = buildQueryApi({ warehouse, keys: KEYS, nowMs: NOW })
    const address = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    const answer = await raw(Number(address.port), PATH)
    expect(answer.text).toContain('HTTP/1.1 200')
    expect(answer.text).toContain('{"result":[')
    expect(answer.isWhole).toBe(isWhole)
    await app.close()
  }
})

test('callers who go away, or take nothing, keep neither a turn nor a query in the warehouse', async () => {
  const { app, metrics } = buildQueryApi({
    warehouse: opened.warehouse,
    keys: KEYS,
    nowMs: NOW,
    settings: { ...SETTINGS, runningMax: 2, waitMs: 20_000, extraction: { ...SETTINGS.extraction, stallMs: 300 } },
  })
  const address = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  // Twice as many as there are turns, and as the engine has sessions: each must be given back.
  for (const leaves of [true, false]) {
    for (let i = 0; i < 4; i++) {
      const socket = connect(Number(address.port), '127.0.0.1').on('error', () => undefined)
      socket.write(`GET ${PATH} HTTP/1.1\r\nhost: x\r\n\r\n`)
      await new Promise((resolve) => socket.once('data', resolve))
      if (leaves) socket.destroy()
      else socket.pause()
    }
  }
  // What is begun for a head is ended, too.
  for (let i = 0; i < 4; i++) expect((await fetch(new URL(PATH, address), { method: 'HEAD' })).status).toBe(200)
  const answer = await app.inject(PATH)
  expect(answer.json().result).toHaveLength(MANY)
  await expect
    .poll(async () => (await metrics.getSingleMetric('query_running_requests')?.get())?.values)
    .toEqual([{ value: 0, labels: {} }])
  await app.close()
})

test('rows are read alike however their bytes are cut', async () => {
  const rows = fc.array(fc.tuple(fc.maxSafeNat(), fc.string({ unit: 'binary', maxLength: 300 })), { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(rows, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), async (events, cuts) => {
      const writer = new RowBinaryWriter(1_000)
      for (const [ms, body] of events) {
        writer.millis(ms - 2 ** 52)
        writer.millis(ms)
        writer.string('id')
        writer.string(body)
      }
      const bytes = writer.finish()
      const chunks = function* (end: number) {
        for (let at = 0, i = 0; at < end; i++) {
          const next = Math.min(end, at + (cuts[i % cuts.length] ?? 1))
          yield bytes.subarray(at, next)
          at = next
        }
      }
      const read = async (end: number) => {
        const all = []
        for await (const batch of readRows(Readable.from(chunks(end)) as AsyncIterable<Buffer>)) all.push(...batch)
        return all
      }
      expect(await read(bytes.length)).toEqual(
        events.map(([ms, body]) => ({
          timestampMs: ms - 2 ** 52,
          createdAtMs: ms,
          id: 'id',
          body: Buffer.from(body).toString(),
        })),
      )
      if (bytes.length > 0) await expect(read(bytes.length - 1)).rejects.toThrow('within a row')
    }),
    { numRuns: 200 },
  )
})
