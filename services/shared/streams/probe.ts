import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { bodyOf } from '../bucket/body.ts'
import type { Bucket, BucketRefusal } from '../bucket/port.ts'
import { AppError, hasCode } from '../errors.ts'
import type { Stream } from './model.ts'
import { renderPrefix } from './prefix.ts'

export type ProbeStep = 'put' | 'get' | 'delete'
/** `unavailable`: nobody answered in time, or only so that another try may do. */
export type ProbeReason = BucketRefusal | 'unavailable'
export type ProbeResult =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly step: ProbeStep; readonly reason: ProbeReason; readonly message: string }

export interface ProbeLimits {
  readonly timeoutMs: number
  /** Probes of this process that run at a time; those of one project. */
  readonly atOnceMax: number
  readonly perProjectMax: number
}

export const PROBE_LIMITS: ProbeLimits = { timeoutMs: 15_000, atOnceMax: 4, perProjectMax: 2 }

export type ProbedStream = Pick<Stream, 'projectId' | 'name' | 'prefix' | 'collections'>
/** Rejects with RateLimitExceededError when too many run; whatever the bucket does is in the result. */
export type Prober = (stream: ProbedStream, open: () => Promise<Bucket>) => Promise<ProbeResult>

const CONTENT = Buffer.from('Tributary wrote this to see whether it may, and deletes it at once.\n')
const CLEAN_MS = 5_000

/** Writes an object where the stream would write one, reads it back and deletes it. */
export function createProber(limits: ProbeLimits = PROBE_LIMITS): Prober {
  /** By project. */
  const running: string[] = []
  return async (stream, open) => {
    const { projectId } = stream
    const ofProject = running.filter((other) => other === projectId).length
    if (running.length >= limits.atOnceMax || ofProject >= limits.perProjectMax) {
      throw new AppError('RateLimitExceededError', 'Too many destinations are being tried out. Try again in a moment.')
    }
    running.push(projectId)
    const collection = stream.collections?.[0] ?? 'probe'
    const prefix = renderPrefix(stream.prefix, {
      project: projectId,
      stream: stream.name,
      collection,
      timeMs: Date.now(),
    })
    const at: { step: ProbeStep } = { step: 'put' }
    const timeout = AbortSignal.timeout(limits.timeoutMs)
    const work = steps(open, `${prefix}tributary-probe-${randomUUID()}`, at, timeout).finally(() => {
      // Not before the bucket has let go: a call that does not heed the timeout still takes its place.
      running.splice(running.indexOf(projectId), 1)
    })
    return Promise.race([work, timedOut(timeout, at, limits.timeoutMs)])
  }
}

async function steps(
  open: () => Promise<Bucket>,
  key: string,
  at: { step: ProbeStep },
  signal: AbortSignal,
): Promise<ProbeResult> {
  const startedAtMs = performance.now()
  let bucket: Bucket | undefined
  try {
    bucket = await open()
    await bucket.put(key, bodyOf(CONTENT), { contentType: 'text/plain', signal }).catch((error: unknown) => {
      // The name is ours alone: the answer to an earlier try got lost, and reading it back tells the rest.
      if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
    })
    at.step = 'get'
    if (!(await isThere(bucket, key, signal))) {
      throw new AppError('BUCKET_REFUSED', 'What was read back is not what was written.', {
        details: { reason: 'invalid' },
      })
    }
    at.step = 'delete'
    await bucket.delete(key, signal)
    return { ok: true, ms: Math.round(performance.now() - startedAtMs) }
  } catch (error) {
    const failed: ProbeResult = { ok: false, step: at.step, ...told(error) }
    // Also after a put of which nobody knows whether it wrote.
    await bucket?.delete(key, AbortSignal.timeout(CLEAN_MS)).catch(() => undefined)
    return failed
  } finally {
    await bucket?.close()
  }
}

async function isThere(bucket: Bucket, key: string, signal: AbortSignal): Promise<boolean> {
  const stream = await bucket.get(key, signal)
  if (stream === undefined) return false
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > CONTENT.length) return false // leaves the loop, and with it the stream
  }
  return CONTENT.equals(Buffer.concat(chunks))
}

function timedOut(timeout: AbortSignal, at: { step: ProbeStep }, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    timeout.addEventListener('abort', () => {
      const message = `There was no answer within ${Math.round(timeoutMs / 1_000)} seconds.`
      resolve({ ok: false, step: at.step, reason: 'unavailable', message })
    })
  })
}

function told(error: unknown): { readonly reason: ProbeReason; readonly message: string } {
  if (hasCode(error, 'BUCKET_REFUSED'))
    return { reason: error.details['reason'] as BucketRefusal, message: error.message }
  const message = hasCode(error, 'BUCKET_UNAVAILABLE') ? error.message : 'The bucket could not be spoken to.'
  return { reason: 'unavailable', message }
}
