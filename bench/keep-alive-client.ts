import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Load {
  readonly url: URL
  /** Whole requests, headers and all; connections take turns through them. */
  readonly requests: readonly Buffer[]
  readonly connections: number
  readonly durationMs: number
}

export interface LoadResult {
  readonly answered: number
  readonly seconds: number
  /** Milliseconds from sending to the whole answer. */
  readonly latencies: readonly number[]
}

const CONTENT_LENGTH = /\r\ncontent-length: (\d+)/i

/**
 * Sends requests over connections that stay open, one at a time on each. It does nothing else, so that on a machine
 * with few cores the server is what is measured. Rejects when an answer is not a 2xx.
 */
export async function load({ url, requests, connections, durationMs }: Load): Promise<LoadResult> {
  const latencies: number[] = []
  let turn = 0
  const startedAtMs = performance.now()
  const untilMs = startedAtMs + durationMs

  const drive = async (): Promise<void> => {
    const socket = connect({ port: Number(url.port), host: url.hostname, noDelay: true })
    try {
      await new Promise<void>((resolve, reject) => {
        let sentAtMs = 0
        let text = ''
        const send = (): void => {
          const request = requests[turn % requests.length]
          turn += 1
          sentAtMs = performance.now()
          if (request !== undefined) socket.write(request)
        }
        socket.on('error', reject)
        socket.on('close', () => reject(new Error('the server closed the connection')))
        socket.on('connect', send)
        socket.on('data', (chunk) => {
          text += chunk.toString('latin1')
          if (bodyOf(text) === undefined) return
          if (!text.startsWith(OK)) return reject(new Error(text.slice(0, 500)))
          text = ''
          const nowMs = performance.now()
          latencies.push(nowMs - sentAtMs)
          if (nowMs < untilMs) send()
          else resolve()
        })
      })
    } finally {
      end(socket)
    }
  }
  await Promise.all(Array.from({ length: connections }, drive))
  return { answered: latencies.length, seconds: (performance.now() - startedAtMs) / 1_000, latencies }
}

/** One connection that stays open, and asks one thing at a time. */
export interface Caller {
  /** Sends a whole request; gives the answer's body. Rejects when it is not a 2xx. */
  ask(request: Buffer): Promise<string>
  close(): void
}

const OK = 'HTTP/1.1 2'
const CHUNKED = /\r\ntransfer-encoding: chunked/i
const CHUNKS_END = '\r\n0\r\n\r\n'

/**
 * The body of an answer that is there from its first byte to its last; undefined while something is missing. Throws when the
 * answer does not say where it ends.
 */
function bodyOf(answer: string): string | undefined {
  const headEnd = answer.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const length = Number(CONTENT_LENGTH.exec(answer)?.[1] ?? Number.NaN)
  if (!Number.isNaN(length)) return answer.length < headEnd + 4 + length ? undefined : answer.slice(headEnd + 4)
  if (!CHUNKED.test(answer.slice(0, headEnd))) throw new Error(answer.slice(0, 500))
  if (!answer.endsWith(CHUNKS_END)) return undefined
  let body = ''
  for (let at = headEnd + 4; ; ) {
    const sizeEnd = answer.indexOf('\r\n', at)
    const size = Number.parseInt(answer.slice(at, sizeEnd), 16)
    if (size === 0) return body
    body += answer.slice(sizeEnd + 2, sizeEnd + 2 + size)
    at = sizeEnd + 2 + size + 2
  }
}

/** For answers in ASCII. It does nothing else, as above. */
export async function openCaller(url: URL): Promise<Caller> {
  const socket = connect({ port: Number(url.port), host: url.hostname, noDelay: true })
  await once(socket, 'connect')
  let waiting: PromiseWithResolvers<string> | undefined
  let text = ''
  socket.on('error', (error) => waiting?.reject(error))
  socket.on('close', () => waiting?.reject(new Error('the server closed the connection')))
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    const body = bodyOf(text)
    if (body === undefined) return
    if (text.startsWith(OK)) waiting?.resolve(body)
    else waiting?.reject(new Error(text.slice(0, 500)))
  })
  return {
    ask: async (request) => {
      if (socket.destroyed) throw new Error('the server closed the connection')
      text = ''
      waiting = Promise.withResolvers()
      socket.write(request)
      return waiting.promise
    },
    close: () => end(socket),
  }
}

function end(socket: Socket): void {
  socket.removeAllListeners()
  socket.on('error', () => {}) // it may be gone already
  socket.destroy()
}

/** The bytes of a POST with a JSON body. */
export function postBytes(url: URL, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const lines = Object.entries({
    host: url.host,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}
