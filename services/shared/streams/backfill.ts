import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Definition, DefinitionKind } from '../registry/model.ts'

/** What a back-fill is kept as among a project's definitions. */
export const BACKFILL_KIND = 'stream-backfill' satisfies DefinitionKind
/** What the process that delivers keeps of how a stream comes along. */
export const STATE_KIND = 'stream-state' satisfies DefinitionKind

/** A stretch of time whose events a stream delivers once more, beside what it delivers anyway. */
export interface Backfill {
  readonly projectId: string
  /** Letters and digits; stands in the names of its files. */
  readonly id: string
  readonly stream: string
  /** It is that life's of the stream: one that was made anew under the name has nothing to do with it. */
  readonly streamCreatedAtMs: number
  /** Of arrival, milliseconds since 1970, end exclusive. */
  readonly startMs: number
  readonly endMs: number
  readonly createdAtMs: number
}

const isStored = Compile(
  Type.Object({
    id: Type.String({ pattern: '^[a-z0-9]{1,32}$' }),
    stream: Type.String(),
    streamCreatedAtMs: Type.Integer(),
    startMs: Type.Integer(),
    endMs: Type.Integer(),
  }),
)

/** Undefined for one that this version does not understand. */
export function backfillOf({ projectId, value, createdAtMs }: Definition): Backfill | undefined {
  return isStored.Check(value) ? { projectId, createdAtMs, ...value } : undefined
}

/** Under which the definition of a back-fill is kept. */
export const backfillName = (stream: string, id: string): string => `${stream}--${id}`

/** Under which a course's state is kept. */
export const stateName = (stream: string, course: string): string =>
  course === 'main' ? stream : backfillName(stream, course)
