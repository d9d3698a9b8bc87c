import { collectDefaultMetrics, Registry } from 'prom-client'

/** The metrics of one process, with those of Node and the process itself (CPU, memory, event loop, open files). */
export function createMetrics(): Registry {
  const metrics = new Registry()
  collectDefaultMetrics({ register: metrics })
  return metrics
}
