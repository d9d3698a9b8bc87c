import { AppError } from '../errors.ts'

export interface ReadinessProblem {
  /** The part that cannot take work: `log`, `warehouse`, `disk`, … */
  readonly part: string
  /** An error code, or `timeout`. */
  readonly code: string
}

export interface Readiness {
  readonly ready: boolean
  readonly problems: readonly ReadinessProblem[]
}

/** By part; resolves when the part can take work, rejects otherwise. */
export type ReadinessChecks = Readonly<Record<string, () => Promise<void>>>

export interface ReadinessOptions {
  /** A check that takes longer has failed. Default 2,000. */
  readonly timeoutMs?: number
  /** How long an answer may be given again, so that asking often costs nothing. Default 1,000. */
  readonly freshMs?: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

const TIMED_OUT = Symbol('timed out')

async function problemOf(part: string, check: () => Promise<void>, timeoutMs: number): Promise<ReadinessProblem[]> {
  const timeout = Promise.withResolvers<typeof TIMED_OUT>()
  const timer = setTimeout(() => timeout.resolve(TIMED_OUT), timeoutMs)
  try {
    const outcome = await Promise.race([check(), timeout.promise])
    return outcome === TIMED_OUT ? [{ part, code: 'timeout' }] : []
  } catch (error) {
    return [{ part, code: error instanceof AppError ? error.code : 'InternalServerError' }]
  } finally {
    clearTimeout(timer)
  }
}

/** Asks all checks at once and never rejects. Calls that come while an answer is made, or is fresh, share it. */
export function createReadiness(checks: ReadinessChecks, options: ReadinessOptions = {}): () => Promise<Readiness> {
  const { timeoutMs = 2_000, freshMs = 1_000, now = () => performance.now() } = options
  let latest: { readonly atMs: number; readonly answer: Promise<Readiness> } | undefined

  const ask = async (): Promise<Readiness> => {
    const found = await Promise.all(Object.entries(checks).map(([part, check]) => problemOf(part, check, timeoutMs)))
    const problems = found.flat()
    return { ready: problems.length === 0, problems }
  }
  return () => {
    const atMs = now()
    if (latest === undefined || atMs - latest.atMs >= freshMs) latest = { atMs, answer: ask() }
    return latest.answer
  }
}
