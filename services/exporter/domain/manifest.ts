import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { UnusableReason } from '../../shared/events/domain/decode-record.ts'
import { ARCHIVE_FORMATS } from './archive-format.ts'

const Offset = Type.String({ pattern: '^[0-9]{1,20}$' })
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const Count = Type.Integer({ minimum: 0 })

const ArchivedObject = Type.Object({
  /** Of the object, or of the merged file in which it lies. */
  key: Type.String({ minLength: 1 }),
  project: Type.String(),
  collection: Type.String(),
  /** Start of the hour in which its events arrived. */
  hour: Type.String(),
  format: Type.Enum([...ARCHIVE_FORMATS]),
  events: Type.Integer({ minimum: 1 }),
  /** Of its first and its last event; others of the range lie between. */
  first: Offset,
  last: Offset,
  /** Of the object as it is stored. */
  bytes: Count,
  sha256: Sha256,
  /** Of its lines, uncompressed. */
  content_bytes: Count,
  content_sha256: Sha256,
  /** In a merged file: how many bytes are before it, and how many the whole file has. Left out where it is an object by itself. */
  at: Type.Optional(Count),
  file_bytes: Type.Optional(Count),
})

/**
 * What the archive holds of a range of one partition; written last, so that a range is in the archive when its manifest is.
 * `records` = the events of all objects + `repeats` + all of `unusable` + `erased`. Nothing in it depends on when it was written.
 */
export const Manifest = Type.Object({
  version: Type.Literal(1),
  epoch: Type.String(),
  partition: Count,
  /** Both ends included; the next manifest of the partition begins one later. */
  first: Offset,
  last: Offset,
  records: Count,
  events: Count,
  /** Left out as repeats of events that were kept. */
  repeats: Count,
  /** Records that are no events, by reason; the dead-letter topic has them. */
  unusable: Type.Record(Type.String(), Count),
  /** Events that were in it and were erased since; left out while there are none. */
  erased: Type.Optional(Count),
  /** When its first and its last record were written to the log; null when it has no records (any more). */
  appended: Type.Union([Type.Null(), Type.Object({ first: Type.String(), last: Type.String() })]),
  objects: Type.Array(ArchivedObject),
})
export type ArchivedObject = Static<typeof ArchivedObject>
export type Manifest = Static<typeof Manifest>

/** One that lies in a file with others. */
export type MergedObject = ArchivedObject & { readonly at: number; readonly file_bytes: number }

export const isMerged = (object: ArchivedObject): object is MergedObject => object.at !== undefined

const checker = Compile(Manifest)

/** A manifest from its bytes; undefined for bytes that are none. */
export function parseManifest(bytes: Buffer): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return checker.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 1)}\n`

export type UnusableCounts = ReadonlyMap<UnusableReason, number>
