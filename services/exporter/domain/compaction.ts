import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { ARCHIVE_FORMATS } from './archive-format.ts'

/** An object that goes into a merged file. */
const Piece = Type.Object({
  /** The key of its range's first manifest, whatever became of that since. */
  manifest: Type.String(),
  key: Type.String(),
  bytes: Type.Integer({ minimum: 1 }),
  sha256: Type.String(),
})
export type Piece = Static<typeof Piece>

/** A file that is to be: its pieces' bytes, one behind the other. */
const Merge = Type.Object({
  key: Type.String(),
  format: Type.Enum([...ARCHIVE_FORMATS]),
  /** In the order of partitions and offsets. */
  pieces: Type.Array(Piece, { minItems: 2 }),
})
export type Merge = Static<typeof Merge>

/** `EPOCH/PARTITION` → the offset from which on nothing is planned yet. */
const Cursor = Type.Record(Type.String(), Type.String({ pattern: '^[0-9]{1,20}$' }))
export type Cursor = Static<typeof Cursor>

/**
 * Decided first, durably, by one writer, and kept for good: what is made of it depends on it and on the archive alone, and
 * it says which ranges a merged file may be named by.
 */
export const CompactionPlan = Type.Object({
  version: Type.Literal(1),
  /** From 1 on; one after the other. */
  number: Type.Integer({ minimum: 1 }),
  merges: Type.Array(Merge),
  /** From where the next plan goes on. */
  cursor: Cursor,
})
export type CompactionPlan = Static<typeof CompactionPlan>

const checker = Compile(CompactionPlan)

/** Undefined for bytes that are no plan. */
export function parseCompactionPlan(bytes: Buffer): CompactionPlan | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return checker.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

export const compactionText = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`

export const COMPACTION_PREFIX = 'compaction/'
const NUMBER_DIGITS = 10

/**
 * How far a plan is: decided; carried out, so that every range's newest manifest names the merged files; cleared, so that
 * nothing of what these replaced is left.
 */
export type CompactionStage = 'plan' | 'done' | 'cleared'

export const compactionKey = (number: number, stage: CompactionStage): string =>
  `${COMPACTION_PREFIX}${String(number).padStart(NUMBER_DIGITS, '0')}.${stage}.json`

/** Undefined for any other key. */
export function parseCompactionKey(
  key: string,
): { readonly number: number; readonly stage: CompactionStage } | undefined {
  const [, number, stage] = /^compaction\/(\d{10})\.(plan|done|cleared)\.json$/.exec(key) ?? []
  if (stage !== 'plan' && stage !== 'done' && stage !== 'cleared') return undefined
  return { number: Number(number), stage }
}

/** Where a piece lies once it is merged. */
export interface Place {
  readonly key: string
  readonly at: number
  readonly fileBytes: number
  /** Of the piece. */
  readonly sha256: string
}

export const fileBytesOf = ({ pieces }: Pick<Merge, 'pieces'>): number =>
  pieces.reduce((sum, { bytes }) => sum + bytes, 0)

/** Each piece of a merge with its place. */
export function placesOf(merge: Merge): readonly { readonly piece: Piece; readonly place: Place }[] {
  const fileBytes = fileBytesOf(merge)
  let at = 0
  return merge.pieces.map((piece) => {
    const place = { key: merge.key, at, fileBytes, sha256: piece.sha256 }
    at += piece.bytes
    return { piece, place }
  })
}
