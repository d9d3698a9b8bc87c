import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../shared/errors.ts'
import { bulkBody, type Entry, type Refusal } from './batches.ts'

export interface SendTarget {
  /** Of the server, without a path. */
  readonly url: string
  readonly projectId: string
  readonly key: string
  readonly collection: string
}

export interface SendOptions {
  readonly target: SendTarget
  readonly signal: AbortSignal
  /** How long to go on trying while the server cannot be reached or says that it is busy. */
  readonly patienceMs: number
  readonly requestTimeoutMs: number
  onRetry(reason: string): void
}

const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504])
const DELAY_MS = 200
const DELAY_MS_MAX = 15_000

/**
 * Sends one batch under `name`, again and again until the server has answered for certain; the name goes as
 * `Idempotency-Key`, so that a batch whose answer was lost is stored once. Resolves with the events that the server
 * refused. Rejects with ServiceUnavailableError when patience ends, InvalidRequestError when the whole import is wrong
 * (key, project, URL).
 */
export async function sendBatch(
  name: string,
  entries: readonly Entry[],
  options: SendOptions,
): Promise<readonly Refusal[]> {
  if (entries.length === 0) return []
  const answer = await post(name, entries, options)
  if (answer.status === 413 && entries.length > 1) {
    // Halving depends on the entries alone, so a repeated run gives the halves the same names.
    const middle = entries.length >> 1
    const left = await sendBatch(`${name}.0`, entries.slice(0, middle), options)
    return [...left, ...(await sendBatch(`${name}.1`, entries.slice(middle), options))]
  }
  if (answer.status === 413) return [{ line: entries[0]?.line ?? 0, ...errorOf(answer.body, 'EventTooLargeError') }]
  if (answer.status !== 200) {
    const { name: code, description } = errorOf(answer.body, `HTTP ${answer.status}`)
    throw new AppError('InvalidRequestError', `The server refused: ${description} (${code}, HTTP ${answer.status}).`)
  }
  return refusals(entries, answer.body, options.target.collection)
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

async function post(name: string, entries: readonly Entry[], options: SendOptions): Promise<Answer> {
  const { target, signal, patienceMs, requestTimeoutMs } = options
  const body = bulkBody(target.collection, entries)
  const givenUpAt = performance.now() + patienceMs
  for (let attempt = 0; ; attempt++) {
    let reason: string
    let waitMs = Math.min(DELAY_MS_MAX, DELAY_MS * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2)
    try {
      const response = await fetch(`${target.url}/3.0/projects/${encodeURIComponent(target.projectId)}/events`, {
        method: 'POST',
        headers: { Authorization: target.key, 'Content-Type': 'application/json', 'Idempotency-Key': name },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
      })
      const text = await response.text()
      if (!RETRIED.has(response.status)) return { status: response.status, body: parsed(text) }
      const after = Number(response.headers.get('retry-after') ?? '')
      if (after > 0) waitMs = Math.max(waitMs, Math.min(after * 1_000, 60_000))
      reason = `HTTP ${response.status}`
    } catch (error) {
      signal.throwIfAborted()
      reason = failureOf(error)
    }
    if (performance.now() + waitMs > givenUpAt) {
      throw new AppError('ServiceUnavailableError', `${target.url} does not take events (${reason}).`)
    }
    options.onRetry(reason)
    await sleep(waitMs, undefined, { signal })
  }
}

function failureOf(error: unknown): string {
  const cause = (error as Error).cause as NodeJS.ErrnoException | undefined
  return cause?.code ?? (error as Error).name
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function errorOf(body: unknown, fallback: string): Omit<Refusal, 'line'> {
  const { error_code: code, message } = (body ?? {}) as { error_code?: unknown; message?: unknown }
  return {
    name: typeof code === 'string' ? code : fallback,
    description: typeof message === 'string' ? message : 'no reason given',
  }
}

/** Throws when the answer is not one result an event: then it is unknown what was stored. */
function refusals(entries: readonly Entry[], body: unknown, collection: string): readonly Refusal[] {
  const results = (body as Record<string, unknown> | undefined)?.[collection]
  if (!Array.isArray(results) || results.length !== entries.length) {
    throw new AppError('InvalidRequestError', 'The server did not answer as Tributary does; check the URL.')
  }
  return entries.flatMap(({ line }, index) => {
    const { success, error } = results[index] as {
      success?: boolean
      error?: { name?: string; description?: string }
    }
    if (success === true) return []
    return [{ line, name: error?.name ?? 'unknown', description: error?.description ?? 'no reason given' }]
  })
}
