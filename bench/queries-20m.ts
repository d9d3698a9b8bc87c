/**
 * How fast are questions on 20 million events? Each analysis through the API against the SQL that a person would write for
 * the same table, by turns; a dataset that was computed ahead against the same ad-hoc query; 32 analysts at once; and the
 * memory of the process while millions of events are extracted to a file. `--rows`, `--runs`, `--keep` (the generated events
 * stay for the next time), `--only ratios|funnel|dataset|analysts|extraction`.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { openLmdbLog } from '../services/shared/log/lmdb/open.ts'
import { topicSpecs } from '../services/shared/log/topics.ts'
import { folderFiles } from '../services/query/extraction/folder-files.ts'
import { DEFAULT_QUERY_SETTINGS } from '../services/query/settings.ts'
import type { Grant } from '../services/shared/registry/grant.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'
import { buildQueryApi } from '../test/query/api.ts'
import { grantFor, never } from '../test/query/stored-events.ts'
import { END_MS, eventsOf, openGenerated, PROJECT, START_MS } from './events-20m.ts'
import { openCaller, postBytes } from './keep-alive-client.ts'
import { FUNNEL, QUESTIONS, REDUCED } from './questions-20m.ts'
import { quantile, report } from './report.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000000' },
    runs: { type: 'string', default: '15' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})
const rows = Number(values.rows)
const runs = Number(values.runs)
const ANALYSTS = 32
const WARM_UP = 100
const SHORT_RUNS = 200
const SHORT_MS = 3_000
const LIMITS = DEFAULT_QUERY_SETTINGS.limits.read

/** For datasets as well. */
const permitted = (grant: Grant): Grant => ({ ...grant, permitted: new Set([...grant.permitted, 'datasets'] as const) })

const rounded = (value: number): number => Number(value.toFixed(value < 10 ? 3 : 0))

const { warehouse, close } = await openGenerated({ rows, seed: Number(values.seed), keep: values.keep })
const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-files-'))
const log = await openLmdbLog({ folder: join(folder, 'log') })
await log.ensureTopics(topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 }))
const reader = grantFor(PROJECT, undefined, 'read')
const { app, works, metrics } = buildQueryApi({
  warehouse,
  keys: { READ: permitted(reader), MASTER: permitted(grantFor(PROJECT)) },
  datasets: { organizationId: 'bench', work: { log, projectGrant: () => reader } },
  nowMs: END_MS,
  now: Date.now,
  settings: {
    ...DEFAULT_QUERY_SETTINGS,
    runningMax: 4,
    perProjectMax: 100,
    // All are to be answered, however long that takes.
    waitMs: 600_000,
    extraction: { ...DEFAULT_QUERY_SETTINGS.extraction, jobBytesMax: 8e9 },
  },
  extractions: { files: folderFiles(folder), isSole: true, secret: 'a secret of this benchmark' },
})
const agent = new Agent({ keepAlive: true })
const stop = new AbortController()

async function call(method: 'GET' | 'POST' | 'PUT', url: string, body?: object, key = 'READ'): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const sent = request(url, { agent, method, headers: { authorization: key, 'content-type': 'application/json' } })
  sent.once('error', reject)
  sent.once('response', (response) => {
    text(response).then(resolve, reject)
  })
  sent.end(body === undefined ? undefined : JSON.stringify(body))
  return promise
}

async function direct(from: Warehouse, sql: string): Promise<readonly (readonly unknown[])[]> {
  const read = await from.read({ sql, params: {}, limits: LIMITS, queryId: randomUUID(), signal: never })
  return read.rows
}

const near = (a: unknown, b: unknown): boolean =>
  typeof a === 'number' && typeof b === 'number'
    ? Math.abs(a - b) <= 1e-9 * Math.abs(a)
    : JSON.stringify(a) === JSON.stringify(b)

async function ratios(address: string): Promise<Record<string, unknown>> {
  const figures: Record<string, unknown> = {}
  // A client that takes next to nothing: the server is what is measured.
  const caller = await openCaller(new URL(address))
  const bytesOf = (analysis: string, fields: object): Buffer => {
    const url = new URL(`${address}/3.0/projects/${PROJECT}/queries/${analysis}`)
    return postBytes(url, { authorization: 'READ' }, JSON.stringify(fields))
  }
  // A server that has been running for a while, and a client too: every kind of question has been asked before.
  const minute = { start: new Date(START_MS).toISOString(), end: new Date(START_MS + 60_000).toISOString() }
  for (let i = 0; i < WARM_UP; i++) {
    for (const { analysis, fields } of Object.values(QUESTIONS)) {
      await caller.ask(bytesOf(analysis, { ...fields, timeframe: minute }))
    }
    await direct(warehouse, `SELECT count() FROM events WHERE project = '${PROJECT}' AND collection = 'none'`)
  }
  for (const [name, { analysis, fields, sql, result }] of Object.entries(QUESTIONS)) {
    const bytes = bytesOf(analysis, fields)
    const answer = JSON.parse(await caller.ask(bytes)) as { result: unknown }
    const reduce = REDUCED[name] ?? ((value: unknown) => value)
    const [got, wanted] = [reduce(answer.result), result(await direct(warehouse, sql))]
    if (!near(got, wanted)) {
      throw new Error(`${name}: ${JSON.stringify(got).slice(0, 300)} is not ${JSON.stringify(wanted).slice(0, 300)}`)
    }
    const [api, own]: [number[], number[]] = [[], []]
    const beganMs = performance.now()
    // Of short ones more: a median of few would tell of chance.
    for (let run = -1; run < runs || (run < SHORT_RUNS && performance.now() - beganMs < SHORT_MS); run++) {
      for (const [times, way] of [
        [api, async () => caller.ask(bytes)],
        [own, async () => direct(warehouse, sql)],
      ] as const) {
        const startedMs = performance.now()
        await way()
        if (run >= 0) times.push(performance.now() - startedMs)
      }
    }
    const [apiMs, sqlMs] = [quantile(api, 0.5), quantile(own, 0.5)]
    figures[name] = { apiP50Ms: rounded(apiMs), sqlP50Ms: rounded(sqlMs), ratioP50: rounded(apiMs / sqlMs) }
    console.log(name, JSON.stringify(figures[name]))
  }
  caller.close()
  return figures
}

/** In milliseconds, by itself: there is no one way to write it by hand. */
async function funnel(ask: (analysis: string, fields: object) => Promise<string>): Promise<Record<string, unknown>> {
  const times: number[] = []
  let answer = { result: undefined as unknown }
  for (let run = -1; run < runs; run++) {
    const startedMs = performance.now()
    answer = JSON.parse(await ask('funnel', FUNNEL)) as typeof answer
    if (answer.result === undefined) return { refused: answer }
    if (run >= 0) times.push(performance.now() - startedMs)
  }
  return { steps: FUNNEL.steps.length, result: answer.result, p50Ms: rounded(quantile(times, 0.5)) }
}

/** A value of one index in each interval, stored beforehand for all index values; `refresh`: all of it, and with nothing new. */
async function dataset(
  address: string,
  ask: (analysis: string, fields: object) => Promise<string>,
): Promise<Record<string, unknown>> {
  const query = { event_collection: 'purchases', target_property: 'price', interval: 'daily' }
  const timeframe = 'this_500_days'
  const path = `${address}/3.0/projects/${PROJECT}/datasets/bench`
  const body = { display_name: 'bench', index_by: 'country', query: { analysis_type: 'sum', ...query, timeframe } }
  const refreshed = async (runs: number): Promise<number> => {
    const startedMs = performance.now()
    for (;;) {
      const text = await metrics.getSingleMetricAsString('dataset_runs_total')
      if (Number(/outcome="stored"\} (\d+)/.exec(text)?.[1] ?? 0) >= runs) return performance.now() - startedMs
      if (/outcome="failed"\} [1-9]/.test(text)) throw new Error(text)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await call('PUT', path, body, 'MASTER')
  const working = Promise.all(works.map(async ({ run }) => run(stop.signal)))
  const allMs = await refreshed(1)
  const filters = [{ property_name: 'country', operator: 'eq', property_value: 'de' }]
  const [stored, adHoc]: [number[], number[]] = [[], []]
  const answers: unknown[] = []
  for (let run = -1; run < runs; run++) {
    for (const [times, way] of [
      [stored, async () => call('GET', `${path}/results?index_by=de&timeframe=${timeframe}`)],
      [adHoc, async () => ask('sum', { ...query, timeframe, filters })],
    ] as const) {
      const startedMs = performance.now()
      const answer = await way()
      if (run >= 0) times.push(performance.now() - startedMs)
      else answers.push((JSON.parse(answer) as { readonly result: unknown }).result)
    }
  }
  const sums = answers.map((answer) => (answer as { value: number }[]).reduce((sum, { value }) => sum + value, 0))
  if (!near(sums[0], sums[1]) || sums[0] === 0) throw new Error(`the dataset has ${sums[0]}, the query ${sums[1]}`)
  stop.abort()
  await working
  const [readMs, askMs] = [quantile(stored, 0.5), quantile(adHoc, 0.5)]
  return {
    intervals: 500,
    firstRefreshMs: Math.round(allMs),
    readP50Ms: rounded(readMs),
    adHocP50Ms: rounded(askMs),
    ratioP50: rounded(readMs / askMs),
  }
}

/** All questions, each analyst in an order of their own, all at once. */
async function analysts(ask: (analysis: string, fields: object) => Promise<string>): Promise<Record<string, unknown>> {
  const questions = Object.values(QUESTIONS)
  const times: number[] = []
  const startedMs = performance.now()
  await Promise.all(
    Array.from({ length: ANALYSTS }, async (_, analyst) => {
      for (let i = 0; i < questions.length; i++) {
        const question = questions[(i * 7 + analyst) % questions.length]
        if (question === undefined) continue
        const askedMs = performance.now()
        const answer = await ask(question.analysis, question.fields)
        if (!answer.startsWith('{"result"')) throw new Error(answer.slice(0, 300))
        times.push(performance.now() - askedMs)
      }
    }),
  )
  const seconds = (performance.now() - startedMs) / 1_000
  return {
    analysts: ANALYSTS,
    queries: times.length,
    perSecond: rounded(times.length / seconds),
    p50Ms: rounded(quantile(times, 0.5)),
    p99Ms: rounded(quantile(times, 0.99)),
  }
}

async function extraction(address: string): Promise<Record<string, unknown>> {
  const events = Math.min(10_000_000, eventsOf('views', rows))
  // So many of the views are in the timeframe.
  const end = new Date(START_MS + Math.floor((END_MS - START_MS) * (events / eventsOf('views', rows)))).toISOString()
  const fields = { event_collection: 'views', timeframe: { start: new Date(START_MS).toISOString(), end } }
  const mib = (): number => Math.round(process.memoryUsage.rss() / 2 ** 20)
  const before = mib()
  const samples: number[] = []
  const startedMs = performance.now()
  const url = `${address}/3.0/projects/${PROJECT}/queries/extraction`
  const begun = JSON.parse(
    await call('POST', url, { ...fields, async: true, content_type: 'application/x-ndjson' }),
  ) as {
    status_url: string
  }
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    samples.push(mib())
    const job = JSON.parse(await call('GET', `${address}${begun.status_url}`)) as {
      state: string
      events: number
      bytes: number
      error: unknown
    }
    if (job.state === 'failed') throw new Error(JSON.stringify(job.error))
    if (job.state !== 'done') continue
    const seconds = (performance.now() - startedMs) / 1_000
    const quarter = Math.max(1, Math.floor(samples.length / 4))
    return {
      events: job.events,
      fileMiB: Math.round(job.bytes / 2 ** 20),
      seconds: rounded(seconds),
      eventsPerSecond: Math.round(job.events / seconds),
      // The engine runs in this process: its own caches are in these figures.
      rssMiB: {
        before,
        firstQuarterMax: Math.max(...samples.slice(0, quarter)),
        lastQuarterMax: Math.max(...samples.slice(-quarter)),
        max: Math.max(...samples),
      },
    }
  }
}

try {
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const ask = async (analysis: string, fields: object): Promise<string> =>
    call('POST', `${address}/3.0/projects/${PROJECT}/queries/${analysis}`, fields)
  const [[version] = []] = await direct(warehouse, 'SELECT version()')
  const wants = (part: string): boolean => values.only === undefined || values.only === part
  report('queries-20m', {
    rows,
    runs,
    clickhouse: String(version),
    warehouse: warehouse.kind,
    ...(wants('extraction') ? { extraction: await extraction(address) } : {}),
    ...(wants('ratios') ? await ratios(address) : {}),
    ...(wants('funnel') ? { funnel: await funnel(ask) } : {}),
    ...(wants('dataset') ? { dataset: await dataset(address, ask) } : {}),
    ...(wants('analysts') ? { analysts: await analysts(ask) } : {}),
  })
} finally {
  stop.abort()
  agent.destroy()
  await app.close()
  await log.close()
  await close()
  rmSync(folder, { recursive: true, force: true })
}
