import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { countFlights, flightEvent, flightsFile, readFlights } from '../../services/commands/demo/flights.ts'
import { curlLine, QUESTIONS } from '../../services/commands/demo/questions.ts'

test('the flights are three million, and a sample of them spreads over the whole half-year', async () => {
  expect(await countFlights(flightsFile())).toBe(3_000_000)
  const months = new Set<string>()
  let last = 0
  for await (const { number, flight } of readFlights(flightsFile(), { step: 10_000, max: 300 })) {
    expect(number).toBe(last + 1)
    last = number
    months.add(flight.date.toISOString().slice(0, 7))
    expect(flight.origin).toMatch(/^[A-Z]{3}$/)
  }
  expect(last).toBe(300)
  expect([...months]).toEqual(['2001-01', '2001-02', '2001-03', '2001-04', '2001-05', '2001-06'])
})

test('a flight becomes an event at its departure', () => {
  const flight = { date: new Date('2001-02-03T04:05:00Z'), delay: -3, distance: 100, origin: 'SFO', destination: 'LAX' }
  expect(flightEvent(flight)).toEqual({
    json: '{"keen":{"timestamp":"2001-02-03T04:05:00.000Z"},"delay":-3,"distance":100,"origin":"SFO","destination":"LAX"}',
  })
})

test('each answer becomes rows as wide as its columns', () => {
  const month = [{ value: 1234, timeframe: { start: '2001-01-01T00:00:00.000Z', end: '2001-02-01T00:00:00.000Z' } }]
  const event = {
    keen: { timestamp: '2001-06-30T23:59:00.000Z' },
    origin: 'SFO',
    destination: 'LAX',
    distance: 337,
    delay: -4,
  }
  const answers = [month, [{ origin: 'JFK', result: 41 }], 3.14159, [event], month]
  const tables = QUESTIONS.map((question, index) => question.rows(answers[index]))
  expect(tables).toEqual([
    [['2001-01', '1,234']],
    [['JFK', '41']],
    [['3.1']],
    [['2001-06-30 23:59', 'SFO', 'LAX', '337', '-4']],
    [['2001-01', '1,234']],
  ])
  for (const [index, { columns }] of QUESTIONS.entries()) {
    for (const row of tables[index] ?? []) expect(row).toHaveLength(columns.length)
  }
})

test('an answer with nothing in it makes a table without a wrong number', () => {
  expect(QUESTIONS.map((question) => question.rows(null))).toEqual([[], [], [['-']], [], []])
})

test('the curl line, pasted into a shell, sends the question as it is', async () => {
  const seen: unknown[] = []
  const server = createServer((request, response) => {
    void (async () => {
      const body: unknown = JSON.parse(await text(request))
      seen.push([request.method, request.url, request.headers.authorization, body])
      response.end('{"result":1}')
    })()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [question] = QUESTIONS
  expect(question).toBeDefined()
  if (question === undefined) return
  const odd = { ...question, body: { ...question.body, event_collection: "it's $HOME `x`" } }
  const shown = await promisify(execFile)('sh', ['-c', curlLine(url, 'P', 'K', odd)])
  expect(shown.stdout).toBe('{"result":1}')
  expect(seen).toEqual([['POST', '/3.0/projects/P/queries/count', 'K', odd.body]])
  server.close()
})
