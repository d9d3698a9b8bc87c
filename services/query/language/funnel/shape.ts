import { AppError } from '../../../shared/errors.ts'
import { compareScalars, decodeKey, type JsonScalar } from '../json-values.ts'
import type { FunnelStep } from '../tree.ts'

/** Actors of a funnel; beyond it the answer is refused. */
export const ACTORS_MAX = 1_000_000

export interface FunnelShape {
  readonly kind: 'funnel'
  readonly steps: readonly FunnelStep[]
}

export interface FunnelResult {
  /** Actors left, by step. */
  readonly result: readonly number[]
  /** By step, null where they were not asked for; left out when no step asked. */
  readonly actors?: readonly (readonly JsonScalar[] | null)[]
  /** As they were asked, defaults filled in. */
  readonly steps: readonly Readonly<Record<string, unknown>>[]
}

/** The one row of `compileFunnel`. Throws QueryTooLargeError. */
export function shapeFunnel({ steps }: FunnelShape, rows: readonly (readonly unknown[])[]): FunnelResult {
  const [row = []] = rows
  let at = 0
  const result: number[] = []
  const actors: (readonly JsonScalar[] | null)[] = []
  for (const step of steps) {
    const count = Number(row[at++] ?? 0)
    if (count > ACTORS_MAX) {
      throw new AppError(
        'QueryTooLargeError',
        `The funnel has more than ${ACTORS_MAX} actors. Ask for a narrower timeframe, or more filters.`,
      )
    }
    result.push(count)
    const keys = step.withActors ? row[at++] : undefined
    actors.push(Array.isArray(keys) ? (keys as string[]).map(decodeKey).toSorted(compareScalars) : null)
  }
  const echo = steps.map(({ asked }) => asked)
  return steps.some((step) => step.withActors) ? { result, actors, steps: echo } : { result, steps: echo }
}
