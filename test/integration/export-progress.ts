import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceProcess } from '../support/processes.ts'

/** Its metrics at a moment at which a range of it is on its way: after the intent, before the last commit. */
export async function midRange(exporter: ServiceProcess): Promise<ReadonlyMap<string, number>> {
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline) {
    const metrics = await exporter.metrics()
    if ((metrics.get('exporter_intent_age_seconds') ?? 0) > 0) return metrics
    await delay(3)
  }
  const told = [...(await exporter.metrics())].filter(
    ([name]) => name.startsWith('exporter_') && !name.includes('bucket{'),
  )
  throw new Error(`no range was on its way: ${JSON.stringify(told)}\n${exporter.output().slice(-3_000)}`)
}

/** How many partitions it holds. */
export const held = async (exporter: ServiceProcess): Promise<number> =>
  [...(await exporter.metrics()).keys()].filter((name) => name.startsWith('exporter_lag_events{')).length
