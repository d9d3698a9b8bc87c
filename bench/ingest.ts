/**
 * How fast does ingest take events, as a share of what a bare `node:http` server does that reads and parses the same
 * requests? `node bench/ingest.ts [--kafka] [--runs N] [--seconds N] [--only bulk|single]`
 *
 * Each server is a process of its own; the load comes from this one. The two take turns within one run, and every
 * acknowledged event is looked for in the log afterwards.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { eventOfBytes } from './ingest-events.ts'
import type { ServerUnderLoad } from './ingest-servers.ts'
import { load, type LoadResult, postBytes } from './keep-alive-client.ts'
import { median, quantile, report } from './report.ts'
import { KEYS, PROJECT } from '../test/support/ingest-app.ts'
import { startKafka } from '../test/support/kafka-server.ts'

const EVENT_BYTES = 500
const CASES = {
  bulk: { eventsPerRequest: 100, connections: 64, bodies: 50 },
  single: { eventsPerRequest: 1, connections: 512, bodies: 500 },
} as const

const { values: flags } = parseArgs({
  options: {
    kafka: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    serve: { type: 'string' },
    brokers: { type: 'string' },
  },
})

type Question = 'stored' | 'cpu' | 'close'

/** Of all threads of this process. */
const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function serve(kind: string): Promise<void> {
  const { openKafka, serveBare, serveIngest } = await import('./ingest-servers.ts')
  const { brokers } = flags
  const openLog = brokers === undefined ? undefined : () => openKafka(brokers.split(','))
  const server: ServerUnderLoad = await (kind === 'bare' ? serveBare() : serveIngest(openLog))
  process.on('message', (question: Question) => {
    const answers: Record<Question, () => Promise<unknown>> = {
      stored: () => server.stored(),
      cpu: async () => cpuSeconds(),
      close: () => server.close().then(() => process.disconnect()),
    }
    const answer = answers[question]()
    answer.then((value) => process.connected && process.send?.({ value }), fail)
  })
  process.send?.({ port: server.port })
}

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

interface Subject {
  readonly child: ChildProcess
  readonly port: number
}

async function start(kind: 'bare' | 'ingest', brokers: readonly string[]): Promise<Subject> {
  const where = brokers.length === 0 ? [] : ['--brokers', brokers.join(',')]
  const child = fork(import.meta.filename, ['--serve', kind, ...where], { execArgv: process.execArgv })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { child, port }
}

async function ask({ child }: Subject, question: 'stored' | 'cpu'): Promise<number> {
  child.send(question satisfies Question)
  const [{ value }] = (await once(child, 'message')) as [{ value: number }]
  return value
}

async function stop({ child }: Subject): Promise<void> {
  const exited = once(child, 'exit')
  child.send('close' satisfies Question)
  await exited
}

async function measure(name: keyof typeof CASES, brokers: readonly string[]): Promise<void> {
  const { eventsPerRequest, connections, bodies } = CASES[name]
  const path = `/3.0/projects/${PROJECT}/events${eventsPerRequest === 1 ? '/purchases' : ''}`
  const subjects = { bare: await start('bare', []), ingest: await start('ingest', brokers) }
  const run = async (subject: Subject, seconds: number): Promise<LoadResult> => {
    const url = new URL(path, `http://127.0.0.1:${subject.port}`)
    const requests = Array.from({ length: bodies }, (_, i) => {
      const events = Array.from({ length: eventsPerRequest }, (_, j) => eventOfBytes(i * 1_000 + j, EVENT_BYTES))
      return postBytes(
        url,
        { authorization: KEYS.write },
        JSON.stringify(eventsPerRequest === 1 ? events[0] : { purchases: events }),
      )
    })
    return load({ url, requests, connections, durationMs: seconds * 1_000 })
  }
  const rates: Record<keyof typeof subjects, number[]> = { bare: [], ingest: [] }
  const cpuMicros: Record<keyof typeof subjects, number[]> = { bare: [], ingest: [] }
  const p99s: number[] = []
  let acknowledged = 0
  const before = await ask(subjects.ingest, 'stored')
  for (let i = 0; i <= Number(flags.runs); i += 1) {
    for (const kind of ['bare', 'ingest'] as const) {
      const isWarmUp = i === 0
      const cpuBefore = await ask(subjects[kind], 'cpu')
      const { answered, seconds, latencies } = await run(subjects[kind], isWarmUp ? 1 : Number(flags.seconds))
      if (kind === 'ingest') acknowledged += answered * eventsPerRequest
      if (isWarmUp) continue
      cpuMicros[kind].push((1e6 * ((await ask(subjects[kind], 'cpu')) - cpuBefore)) / (answered * eventsPerRequest))
      rates[kind].push((answered * eventsPerRequest) / seconds)
      if (kind === 'ingest') p99s.push(quantile(latencies, 0.99))
    }
  }
  const inLog = (await ask(subjects.ingest, 'stored')) - before
  await Promise.all([stop(subjects.bare), stop(subjects.ingest)])
  if (inLog !== acknowledged) throw new Error(`${acknowledged} events were acknowledged, ${inLog} are in the log`)
  report('ingest', {
    case: name,
    log: flags.kafka ? 'kafka' : 'lmdb',
    eventBytes: EVENT_BYTES,
    eventsPerRequest,
    connections,
    runs: rates.ingest.length,
    secondsPerRun: Number(flags.seconds),
    bareEventsPerS: Math.round(median(rates.bare)),
    ingestEventsPerS: Math.round(median(rates.ingest)),
    ratio: Number((median(rates.ingest) / median(rates.bare)).toFixed(3)),
    // Independent of what else the machine does; of all threads, the log's among them.
    bareCpuMicrosPerEvent: Number(median(cpuMicros.bare).toFixed(2)),
    ingestCpuMicrosPerEvent: Number(median(cpuMicros.ingest).toFixed(2)),
    p99Ms: Number(median(p99s).toFixed(2)),
    acknowledged,
  })
}

if (flags.serve !== undefined) {
  await serve(flags.serve)
} else {
  const kafka = flags.kafka ? await startKafka() : undefined
  if (kafka !== undefined && 'unavailable' in kafka) throw new Error(kafka.unavailable)
  try {
    for (const name of ['bulk', 'single'] as const) {
      if (flags.only === undefined || flags.only === name) await measure(name, kafka?.brokers ?? [])
    }
  } finally {
    await kafka?.stop()
  }
}
