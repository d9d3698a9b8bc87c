/**
 * What does the API add to a question? The same questions, by turns through HTTP (key, parse, compile, run, shape, answer)
 * and as the compiled SQL straight to the warehouse in the same process. Both answers must be the same ones each time.
 */
import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { compileQuery } from '../services/query/language/compile.ts'
import { type AnalysisName, parseQuery } from '../services/query/language/parse.ts'
import { shapeResult } from '../services/query/language/shape.ts'
import { DEFAULT_QUERY_SETTINGS } from '../services/query/settings.ts'
import type { Grant } from '../services/shared/registry/grant.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'
import { buildQueryApi } from '../test/query/api.ts'
import { grantFor, never, openTestWarehouse } from '../test/query/stored-events.ts'
import { quantile, report } from './report.ts'

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '1000000' }, runs: { type: 'string', default: '60' } },
})
const rows = Number(values.rows)
const runs = Number(values.runs)

const PROJECT = 'b'.repeat(24)
const NOW_MS = Date.UTC(2026, 0, 31)
const EVERY_MS = Math.floor((30 * 86_400_000) / rows)
const CHUNK = 200_000

/** Every value is a function of the row's number, so that each run measures the same events. */
const BODY = `concat('{"price":', toString(if(number % 2 = 0, number % 1000, number % 1000 + 0.5)),
  ',"user":{"id":"u', toString(cityHash64(number) % 5000), '","plan":"', ['free', 'pro', 'team'][cityHash64(number, 1) % 3 + 1],
  '"},"country":"', ['de', 'us', 'fr', 'nl', 'br'][cityHash64(number, 2) % 5 + 1],
  '","duration":', toString(cityHash64(number, 3) % 5000), ',"page":"/x/', toString(cityHash64(number, 4) % 300), '"}')`

const common = { event_collection: 'views', timeframe: { start: '2026-01-01', end: '2026-01-31' } }
const QUESTIONS: Readonly<
  Record<string, { readonly analysis: AnalysisName; readonly fields: Record<string, unknown> }>
> = {
  'count by day': { analysis: 'count', fields: { ...common, interval: 'daily' } },
  'average, filtered, by country': {
    analysis: 'average',
    fields: {
      ...common,
      target_property: 'price',
      group_by: 'country',
      filters: [{ property_name: 'user.plan', operator: 'eq', property_value: 'pro' }],
    },
  },
  'percentile 95 by plan': {
    analysis: 'percentile',
    fields: { ...common, target_property: 'duration', percentile: 95, group_by: 'user.plan' },
  },
  'latest 10': { analysis: 'extraction', fields: { ...common, latest: 10 } },
}

async function load(warehouse: Warehouse): Promise<void> {
  for (let from = 0; from < rows; from += CHUNK) {
    await warehouse.command(
      `INSERT INTO events (project, collection, timestamp, created_at, id, properties, body)
       SELECT {project:String}, 'views', fromUnixTimestamp64Milli(toInt64({start:Int64} + number * {every:Int64}), 'UTC'),
         fromUnixTimestamp64Milli(toInt64({start:Int64} + number * {every:Int64}), 'UTC'),
         reinterpretAsUUID(reverse(reinterpretAsFixedString(toUInt128(number)))), ${BODY} AS json, json
       FROM numbers({from:UInt64}, {count:UInt64})`,
      { project: PROJECT, start: Date.UTC(2026, 0, 1), every: EVERY_MS, from, count: Math.min(CHUNK, rows - from) },
    )
  }
}

async function direct(warehouse: Warehouse, compiled: ReturnType<typeof compileQuery>): Promise<unknown> {
  const { rows: answered } = await warehouse.read({
    sql: compiled.sql,
    params: compiled.params,
    limits: DEFAULT_QUERY_SETTINGS.limits.read,
    queryId: randomUUID(),
    signal: never,
  })
  return answered
}

/** Figures in milliseconds, of `runs` runs after five that warm up; the two ways take turns, so that a noisy neighbour meets both. */
async function compare(ways: readonly (() => Promise<unknown>)[]): Promise<readonly (readonly number[])[]> {
  const times = ways.map((): number[] => [])
  for (let run = -5; run < runs; run++) {
    for (const [i, way] of ways.entries()) {
      const startedMs = performance.now()
      await way()
      if (run >= 0) times[i]?.push(performance.now() - startedMs)
    }
  }
  return times
}

const { warehouse, close } = await openTestWarehouse()
const grant: Grant = grantFor(PROJECT, undefined, 'read')
const { app } = buildQueryApi({ warehouse, keys: { READ: grant }, nowMs: NOW_MS, settings: DEFAULT_QUERY_SETTINGS })
const agent = new Agent({ keepAlive: true })
try {
  await load(warehouse)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const ask = async (analysis: string, fields: object): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const sent = request(`${address}/3.0/projects/${PROJECT}/queries/${analysis}`, {
      agent,
      method: 'POST',
      headers: { authorization: 'READ', 'content-type': 'application/json' },
    })
    sent.once('error', reject)
    sent.once('response', (response) => {
      text(response).then(resolve, reject)
    })
    sent.end(JSON.stringify(fields))
    return promise
  }
  const version = await warehouse.read({
    sql: 'SELECT version()',
    params: {},
    limits: DEFAULT_QUERY_SETTINGS.limits.read,
    queryId: randomUUID(),
    signal: never,
  })
  const figures: Record<string, unknown> = {}
  for (const [name, { analysis, fields }] of Object.entries(QUESTIONS)) {
    const compiled = compileQuery(parseQuery(analysis, fields), grant, NOW_MS)
    const shaped = { result: shapeResult(compiled.shape, (await direct(warehouse, compiled)) as unknown[][]) }
    if ((await ask(analysis, fields)) !== JSON.stringify(shaped)) throw new Error(`${name}: the two answers differ`)
    const [api = [], sql = []] = await compare([() => ask(analysis, fields), () => direct(warehouse, compiled)])
    const ms = (times: readonly number[], q: number): number => Number(quantile(times, q).toFixed(2))
    figures[name] = {
      apiP50Ms: ms(api, 0.5),
      sqlP50Ms: ms(sql, 0.5),
      ratioP50: Number((quantile(api, 0.5) / quantile(sql, 0.5)).toFixed(3)),
      apiP99Ms: ms(api, 0.99),
      sqlP99Ms: ms(sql, 0.99),
      ratioP99: Number((quantile(api, 0.99) / quantile(sql, 0.99)).toFixed(3)),
    }
  }
  report('query', { rows, runs, clickhouse: String(version.rows[0]?.[0]), warehouse: warehouse.kind, ...figures })
} finally {
  agent.destroy()
  await app.close()
  await close()
}
