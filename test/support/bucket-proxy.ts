import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as ask,
  type ServerResponse,
} from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BucketStep, stepOf } from './bucket-steps.ts'

/**
 * - `too_many`, `error`, `busy`, `no_login`, `forbidden`, `no_bucket`, `unknown_header`: the statuses 429, 500, 503, 401,
 *   403, 404 and 501, with the body that the service gives with it. The server behind hears nothing of the request.
 * - `reset`: the connection breaks after half of the request's body was passed on; for `get`, after half of the answer's.
 * - `lost`: the server does what it is asked, and the connection breaks where its answer should come.
 * - `slow`: everything comes `SLOW_MS` late.
 * - `silent`: nothing comes, and the connection stays open; for `get`, after half of the answer's body.
 * - `cut`: for `get`; the answer ends in good order after half of the bytes that it promised.
 */
export type BucketFault = keyof typeof STATUSES | 'reset' | 'lost' | 'slow' | 'silent' | 'cut'

export const SLOW_MS = 100

export interface FaultRule {
  readonly step: BucketStep
  readonly fault: BucketFault
  /** How often; undefined: until `off`. */
  readonly times?: number
  readonly keys?: (key: string) => boolean
}

export interface BucketProxy {
  readonly url: string
  on(rule: FaultRule): void
  /** Ends all rules, and breaks the connections that they keep silent. */
  off(): void
  /** Requests of this step that came. */
  seen(step: BucketStep): number
  /** How often this fault met this step. */
  injected(step: BucketStep, fault: BucketFault): number
  stop(): Promise<void>
}

/** For each fault that is an answer: its status, S3's code and Cloud Storage's reason. */
const STATUSES = {
  too_many: [429, 'TooManyRequests', 'rateLimitExceeded'],
  error: [500, 'InternalError', 'backendError'],
  busy: [503, 'SlowDown', 'backendError'],
  no_login: [401, 'InvalidToken', 'authError'],
  forbidden: [403, 'AccessDenied', 'forbidden'],
  no_bucket: [404, 'NoSuchBucket', 'notFound'],
  unknown_header: [501, 'NotImplemented', 'notImplemented'],
} as const

const isStatus = (fault: BucketFault): fault is keyof typeof STATUSES => fault in STATUSES

/** Of a resumable upload: what the server has, and its answer to the last chunk. */
interface Session {
  stored: number
  done?: { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }
}

/**
 * Stands in front of a server for S3 or Cloud Storage, at `target`, and passes everything on as it came (the header
 * `Host` too, which is part of what a client of S3 signs), except where a rule says otherwise. It answers for itself
 * when it is asked how far a resumable upload got: the tests' server for Cloud Storage would end the upload there. Without
 * `saysContinue` it leaves `Expect: 100-continue` unanswered.
 */
export async function startBucketProxy(target: string, { saysContinue = true } = {}): Promise<BucketProxy> {
  const rules = new Map<FaultRule, number>()
  const seen = new Map<string, number>()
  const injected = new Map<string, number>()
  const sessions = new Map<string, Session>()
  const silent = new Set<ServerResponse>()
  const agent = new Agent({ keepAlive: false })
  const count = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1)

  const faultFor = (step: BucketStep, key: string): BucketFault | undefined => {
    for (const [rule, left] of rules) {
      if (rule.step !== step || left === 0 || rule.keys?.(key) === false) continue
      rules.set(rule, left - 1)
      count(injected, `${step} ${rule.fault}`)
      return rule.fault
    }
    return undefined
  }

  const onward = (from: IncomingMessage) => {
    const { expect: _, connection: __, ...headers } = from.headers
    return ask(new URL(from.url ?? '/', target), { method: from.method, headers, agent })
  }
  const forward = async (from: IncomingMessage, body: Buffer): Promise<IncomingMessage> => {
    const request = onward(from)
    request.end(body)
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    return answer
  }

  /** Half of the body goes on, and then both connections break. */
  const breakMidway = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const half = Math.floor(Number(from.headers['content-length'] ?? 0) / 2)
    if (half > 0) {
      const request = onward(from).on('error', () => {})
      let passed = 0
      for await (const chunk of from) {
        request.write((chunk as Buffer).subarray(0, half - passed))
        passed += (chunk as Buffer).length
        if (passed >= half) break
      }
      await sleep(5) // for the bytes to leave
      request.destroy()
    }
    to.destroy()
  }

  const serve = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const { step, key } = stepOf(from)
    count(seen, step)
    const fault = faultFor(step, key)
    if (fault === 'reset' && step !== 'get') return breakMidway(from, to)
    const body = await buffer(from)
    if (fault !== undefined && isStatus(fault)) return answerFault(from, to, fault)
    if (fault === 'silent' && step !== 'get') return void silent.add(to)
    if (fault === 'slow') await sleep(SLOW_MS)

    const uploadId = new URL(from.url ?? '/', target).searchParams.get('upload_id') ?? ''
    const session = sessions.get(uploadId)
    if (step === 'status' && session !== undefined) return answerStatus(to, session)
    const answer = await forward(from, body)
    const content = await buffer(answer)
    const { statusCode: status = 500, headers } = answer
    if (session !== undefined && step === 'part' && status === 308) session.stored += body.length
    if (session !== undefined && step === 'complete') session.done = { status, headers, body: content }
    const location = headers.location
    if (location !== undefined) {
      sessions.set(new URL(location).searchParams.get('upload_id') ?? '', { stored: 0 })
      headers.location = location.replace(/^https?:\/\/[^/]+/, url)
    }
    if (fault === 'lost') return void to.destroy()
    const half = content.subarray(0, Math.floor(content.length / 2))
    if (fault === 'reset' || fault === 'silent' || fault === 'cut') {
      to.writeHead(status, { ...headers, ...(fault === 'cut' && { connection: 'close' }) })
      to.write(half)
      if (fault === 'silent') return void silent.add(to)
      await sleep(5) // for the bytes to leave
      return void (fault === 'reset' ? to.socket?.resetAndDestroy() : to.socket?.end())
    }
    const { 'transfer-encoding': _, connection: __, ...rest } = headers
    to.writeHead(status, {
      ...rest,
      // The answer to a HEAD has the length of what it leaves out.
      ...(from.method !== 'HEAD' && status !== 204 && { 'content-length': content.length }),
    })
    to.end(content)
  }

  const server = createServer((from, to) => {
    from.on('error', () => {})
    to.on('error', () => {})
    serve(from, to).catch(() => to.destroy())
  })
  // A server need not ask for a body that its client offers to send.
  if (!saysContinue) server.on('checkContinue', (from, to) => server.emit('request', from, to))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}`
  const off = (): void => {
    rules.clear()
    for (const one of silent) one.destroy()
    silent.clear()
  }
  return {
    url,
    on: (rule) => void rules.set(rule, rule.times ?? Number.POSITIVE_INFINITY),
    off,
    seen: (step) => seen.get(step) ?? 0,
    injected: (step, fault) => injected.get(`${step} ${fault}`) ?? 0,
    stop: async () => {
      off()
      agent.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function answerFault(from: IncomingMessage, to: ServerResponse, fault: keyof typeof STATUSES): void {
  const [status, code, reason] = STATUSES[fault]
  const isGcs = /^\/(upload\/)?storage\/v1\//.test(from.url ?? '')
  const body = isGcs
    ? JSON.stringify({ error: { code: status, message: code, errors: [{ reason, message: code }] } })
    : `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`
  to.writeHead(status, { 'content-type': isGcs ? 'application/json' : 'application/xml' })
  to.end(from.method === 'HEAD' ? undefined : body)
}

function answerStatus(to: ServerResponse, { stored, done }: Session): void {
  if (done === undefined) {
    to.writeHead(308, { 'content-length': 0, ...(stored > 0 && { range: `bytes=0-${stored - 1}` }) }).end()
  } else {
    const { 'transfer-encoding': _, connection: __, ...headers } = done.headers
    to.writeHead(done.status, { ...headers, 'content-length': done.body.length }).end(done.body)
  }
}
