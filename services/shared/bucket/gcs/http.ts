import { Storage, type StorageOptions } from '@google-cloud/storage'
import { createPrivateKey, randomInt } from 'node:crypto'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as TlsAgent, request as requestHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { asBucketError, GcsError } from './errors.ts'
import type { GcsSettings } from './settings.ts'

const ATTEMPTS = 3
const RETRY_DELAY_MS = 500
const RETRY_DELAY_MAX_MS = 10_000
const SILENCE_MS = 30_000

export interface GcsRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly signal: AbortSignal
}

export interface GcsAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/**
 * Cloud Storage's JSON API. Every call ends with its signal, fails when its connection is silent for too long, and
 * rejects with what `asBucketError` puts in the port's words.
 */
export interface GcsHttp {
  readonly silenceMs: number
  /** `path` behind the service's address, with a query. */
  url(path: string, query?: Readonly<Record<string, string | undefined>>): URL
  /** One answer below 400, read to its end. */
  ask(request: GcsRequest): Promise<GcsAnswer>
  /** One answer below 400 whose body is still to come. */
  stream(request: GcsRequest): Promise<IncomingMessage>
  /** Does it again, a few times and later each time, while it fails in a way that may pass. */
  retry<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T>
  close(): void
}

function signedAs({ credentials }: GcsSettings): StorageOptions {
  switch (credentials.kind) {
    case 'ambient':
    case 'anonymous':
      return {}
    case 'static':
      return { credentials: { client_email: credentials.clientEmail, private_key: credentials.privateKey } }
    default:
      return credentials satisfies never
  }
}

/** Only Google is shown a token of Google's: it opens more than the one bucket. */
const isGoogles = (endpoint: string | undefined): boolean =>
  endpoint === undefined || /^https:\/\/[^/:@]+\.googleapis\.com$/.test(endpoint)

/**
 * The official client is asked for tokens and for the service's address only. Its requests know no signal and, while
 * an upload is resumed, no time limit; and a resumption that fails leaves two uploads running side by side.
 */
export function createGcsHttp(settings: GcsSettings): GcsHttp {
  const { attempts = ATTEMPTS, silenceMs = SILENCE_MS, retryDelayMs = RETRY_DELAY_MS } = settings
  const storage = new Storage({
    ...signedAs(settings),
    ...(settings.endpoint !== undefined && { apiEndpoint: settings.endpoint }),
  })
  const agentOptions = { keepAlive: true, proxyEnv: process.env }
  const agents = { 'http:': new Agent(agentOptions), 'https:': new TlsAgent(agentOptions) }

  const authorization = async (url: URL, signal: AbortSignal): Promise<Record<string, string>> => {
    const { credentials, endpoint } = settings
    if (credentials.kind === 'anonymous') return {}
    if (!isGoogles(endpoint)) {
      if (credentials.kind === 'static') createPrivateKey(credentials.privateKey) // one that is none is told all the same
      return {}
    }
    const headers = await untilAborted(storage.authClient.getRequestHeaders(url), signal)
    return Object.fromEntries(headers.entries())
  }

  const send = async ({ method, url, headers, body, signal }: GcsRequest): Promise<IncomingMessage> => {
    signal.throwIfAborted()
    const length = body === undefined && method !== 'POST' && method !== 'PUT' ? undefined : (body?.length ?? 0)
    const all = {
      ...headers,
      ...(await authorization(url, signal)),
      ...(length !== undefined && { 'content-length': length }),
    }
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const isTls = url.protocol === 'https:'
    const options = { method, headers: all, signal, timeout: silenceMs, agent: agents[isTls ? 'https:' : 'http:'] }
    const request = (isTls ? requestHttps : requestHttp)(url, options, resolve)
    request.once('timeout', () => request.destroy(new Error(`not a byte came or went in ${silenceMs} ms`)))
    request.on('error', reject)
    request.end(body)
    const answer = await promise
    // It may break off before its reader has begun to listen, who is then told.
    answer.on('error', () => {})
    const status = answer.statusCode ?? 0
    if (status < 400) return answer
    throw GcsError.of(status, await text(answer))
  }

  return {
    silenceMs,

    url(path, query = {}) {
      const url = new URL(`${storage.apiEndpoint.replace(/\/+$/, '')}${path}`)
      for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
      return url
    },

    async ask(request) {
      const answer = await send(request)
      return { status: answer.statusCode ?? 0, headers: answer.headers, text: await text(answer) }
    },

    async stream(request) {
      const answer = await send(request)
      answer.socket.setTimeout(0) // from here on the reader's pace counts, and its own clock
      return answer
    },

    async retry(signal, act) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await act()
        } catch (error) {
          const mayPass = asBucketError(error).code === 'BUCKET_UNAVAILABLE' && !signal.aborted
          if (!mayPass || attempt >= attempts) throw error
          const delay = Math.min(retryDelayMs * 2 ** (attempt - 1), RETRY_DELAY_MAX_MS)
          await sleep(delay / 2 + randomInt(Math.ceil(delay / 2) + 1), undefined, { signal })
        }
      }
    },

    close() {
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }
}

/** What gives tokens takes no signal. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
