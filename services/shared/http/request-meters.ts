import { Histogram, type Registry } from '../telemetry/metrics.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 300]
/** A method is whatever a caller writes; a label is from a closed set. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

export interface RouteMeter {
  /** The template, never the path. */
  readonly route: string
  readonly isFrequent: boolean
  observe(method: string, status: number, seconds: number): void
}

/** Measures requests by route template. */
export class RequestMeters {
  readonly #histogram: Histogram<'method' | 'route' | 'status'>
  /** For requests that no route took. */
  readonly unmatched: RouteMeter

  constructor(registry: Registry) {
    this.#histogram = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the headers of a request to the end of its answer.',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers: [registry],
    })
    this.unmatched = this.of('none', false)
  }

  of(route: string, isFrequent: boolean): RouteMeter {
    const histogram = this.#histogram
    const series = new Map<string, Histogram.Internal<'method' | 'route' | 'status'>>()
    return {
      route,
      isFrequent,
      observe(method, status, seconds) {
        const key = `${method} ${status}`
        let known = series.get(key)
        if (known === undefined) {
          known = histogram.labels({ method: METHODS.has(method) ? method : 'other', route, status: String(status) })
          series.set(key, known)
        }
        known.observe(seconds)
      },
    }
  }
}
