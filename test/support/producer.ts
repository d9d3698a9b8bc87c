import { randomUUID } from 'node:crypto'

/**
 * A producer that keeps its promises in order to check those of others: each event's content is a function of its number, it
 * is sent again, with the same uniqueness token, until it is acknowledged, and only then counts as owed.
 */
export interface Producer {
  /** Numbers of the events that some process acknowledged. */
  readonly acknowledged: ReadonlySet<number>
  /** Calls that ended without an answer or with a 5xx, and were sent again. */
  readonly resent: number
  /** Stops making new events; resolves when all that were begun have been acknowledged. */
  finish(): Promise<void>
}

export const producedEvent = (producer: string, n: number): Record<string, unknown> => ({
  n,
  producer,
  parity: n % 2 === 0 ? 'even' : 'odd',
  weight: (n * 7919) % 1000,
  keen: { uniqueness_token: `${producer}-${n}` },
})

export interface ProducerOptions {
  /** Where to send; asked at each call, so that it may change. */
  readonly urls: () => readonly string[]
  readonly project: string
  readonly key: string
  readonly collection: string
  readonly batch: number
  readonly lanes: number
  /** Milliseconds between a lane's calls. */
  readonly pauseMs: number
}

export function startProducer(options: ProducerOptions): Producer {
  const name = randomUUID()
  const acknowledged = new Set<number>()
  let next = 0
  const finishing = new AbortController()
  let resent = 0

  const send = async (numbers: readonly number[], attempt: number): Promise<boolean> => {
    const urls = options.urls()
    const url = urls[attempt % urls.length]
    if (url === undefined) return false
    try {
      const response = await fetch(`${url}/3.0/projects/${options.project}/events`, {
        method: 'POST',
        headers: { authorization: options.key, 'content-type': 'application/json' },
        body: JSON.stringify({ [options.collection]: numbers.map((n) => producedEvent(name, n)) }),
        signal: AbortSignal.timeout(20_000),
      })
      if (response.status >= 500) {
        await response.arrayBuffer()
        return false
      }
      const body = (await response.json()) as Record<string, { success: boolean }[]>
      if (response.status !== 200) throw new Error(`a good batch was refused: ${response.status}`)
      const results = body[options.collection] ?? []
      numbers.forEach((n, i) => {
        if (results[i]?.success === true) acknowledged.add(n)
      })
      return numbers.every((n) => acknowledged.has(n))
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('a good batch')) throw error
      return false
    }
  }

  const lane = async (): Promise<void> => {
    while (!finishing.signal.aborted) {
      const numbers = Array.from({ length: options.batch }, () => next++)
      for (let attempt = next; !(await send(numbers, attempt)); attempt += 1) {
        resent += 1
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      await new Promise((resolve) => setTimeout(resolve, options.pauseMs))
    }
  }
  const lanes = Promise.all(Array.from({ length: options.lanes }, lane))
  lanes.catch(() => {})
  return {
    acknowledged,
    get resent() {
      return resent
    },
    finish: async () => {
      finishing.abort()
      await lanes
    },
  }
}
