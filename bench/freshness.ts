/**
 * How long after its 2xx is an event counted? One process (`tributary all`) or separate ones over Kafka (--kafka) take a
 * steady 5,000 events/s; ten times a second a marker event goes along, and a query asks for the highest marker it can see.
 */
import { parseArgs } from 'node:util'
import { ask } from '../test/support/api.ts'
import { openBenchDeployment } from './deployment.ts'
import { quantile, report } from './report.ts'

const { values } = parseArgs({
  options: {
    kafka: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '20' },
    rate: { type: 'string', default: '5000' },
  },
})
const seconds = Number(values.seconds)
const rate = Number(values.rate)
const BATCH = 50

await using deployment = await openBenchDeployment({ kafka: values.kafka })
const { project } = deployment

const send = async (events: Record<string, unknown[]>): Promise<void> => {
  const response = await fetch(`${deployment.ingestUrl}/3.0/projects/${project.id}/events`, {
    method: 'POST',
    headers: { authorization: project.write, 'content-type': 'application/json' },
    body: JSON.stringify(events),
  })
  if (!response.ok) throw new Error(`ingest answered ${response.status}`)
  await response.arrayBuffer()
}

let n = 0
const background = (): Record<string, unknown[]> => ({
  background: Array.from({ length: BATCH }, () => ({
    n: n++,
    path: `/page/${n % 1000}`,
    user: { id: n % 10_000, plan: n % 3 === 0 ? 'free' : 'paid' },
    duration: (n * 31) % 5000,
    note: 'x'.repeat(350),
  })),
})

await send({ marker: [{ marker: 0 }], ...background() })
const acknowledgedAt = new Map<number, number>()
const seenAt = new Map<number, number>()
let running = true

const watch = (async () => {
  let seen = 0
  let settleUntil = Number.POSITIVE_INFINITY
  while (performance.now() < settleUntil) {
    if (!running && settleUntil === Number.POSITIVE_INFINITY) settleUntil = performance.now() + 10_000
    const highest = (await ask(deployment.queryUrl, project.id, project.read, 'maximum', {
      event_collection: 'marker',
      target_property: 'marker',
      timeframe: 'this_2_days',
    }).catch(() => 0)) as number
    const now = performance.now()
    for (; seen < highest; seen += 1) seenAt.set(seen + 1, now)
    if (!running && seenAt.size >= acknowledgedAt.size) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
})()

const start = performance.now()
let sent = 0
let marker = 0
const open = new Set<Promise<void>>()
const track = (promise: Promise<void>): void => {
  open.add(promise)
  promise.finally(() => open.delete(promise)).catch(() => {})
}
while (performance.now() - start < seconds * 1000) {
  const due = ((performance.now() - start) / 1000) * rate
  while (sent < due) {
    track(send(background()))
    sent += BATCH
  }
  if (performance.now() - start > marker * 100) {
    marker += 1
    const mine = marker
    track(send({ marker: [{ marker: mine }] }).then(() => void acknowledgedAt.set(mine, performance.now())))
  }
  await new Promise((resolve) => setTimeout(resolve, 5))
}
await Promise.all(open)
running = false
await watch

const delays = [...acknowledgedAt].map(([id, at]) => (seenAt.get(id) ?? Number.POSITIVE_INFINITY) - at)
report('freshness', {
  log: values.kafka ? 'kafka' : 'lmdb',
  eventsPerSecond: Math.round(sent / seconds),
  seconds,
  markers: delays.length,
  p50Ms: Math.round(quantile(delays, 0.5)),
  p99Ms: Math.round(quantile(delays, 0.99)),
  maxMs: Math.round(Math.max(...delays)),
  residentMiB: await deployment.residentMiB(),
})
