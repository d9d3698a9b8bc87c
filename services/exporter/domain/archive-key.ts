import { keyPart } from '../../shared/bucket/domain/key-part.ts'

/** A partition of one life of the events' topic. */
export interface PartitionName {
  readonly epoch: string
  readonly partition: number
}

export interface RangeName extends PartitionName {
  readonly first: bigint
  readonly last: bigint
}

/** Events of one project and collection that arrived within one hour, UTC. */
export interface PartName {
  readonly project: string
  readonly collection: string
  /** Start of the hour of arrival, milliseconds since 1970. */
  readonly hourMs: number
}

export const HOUR_MS = 3_600_000
/** Wide enough for every offset, so that names stand in the order of numbers. */
const OFFSET_DIGITS = 20
const PARTITION_DIGITS = 5
const REVISION_DIGITS = 6

const padded = (offset: bigint): string => String(offset).padStart(OFFSET_DIGITS, '0')
const folderOf = ({ epoch, partition }: PartitionName): string =>
  `${epoch}/${String(partition).padStart(PARTITION_DIGITS, '0')}/`
const rangeOf = ({ first, last }: RangeName): string => `${padded(first)}-${padded(last)}`

export const EVENTS_PREFIX = 'events/'
export const MANIFESTS_PREFIX = 'manifests/'
export const REPEATS_PREFIX = 'repeats/'

/** `events/PROJECT/2025-01-31/23/COLLECTION/`: by whose they are and when they arrived. */
export function partPrefix({ project, collection, hourMs }: PartName): string {
  const [date = '', time = ''] = new Date(hourMs).toISOString().split('T')
  return `${EVENTS_PREFIX}${project}/${date}/${time.slice(0, 2)}/${keyPart(collection)}/`
}

/** `events/PROJECT/2025-01-31/23/COLLECTION/EPOCH+PARTITION+FIRST+LAST.jsonl.gz` */
export const objectKey = ({ epoch, partition, first, last }: RangeName, part: PartName, extension: string): string =>
  `${partPrefix(part)}${epoch}+${partition}+${first}+${last}.${extension}`

/** Manifests of a partition, in the order of their offsets, start with this. */
export const manifestsPrefix = (partition: PartitionName): string => MANIFESTS_PREFIX + folderOf(partition)

/**
 * A range's manifest as it was first written has revision 0. One that came of it, when events had to be erased or its objects were merged with
 * others, has the next, and stands behind it in the order of names; the last one is what the archive holds.
 */
export const manifestKey = (range: RangeName, revision = 0): string => {
  const suffix = revision === 0 ? '' : `.r${String(revision).padStart(REVISION_DIGITS, '0')}`
  return `${manifestsPrefix(range)}${rangeOf(range)}${suffix}.json`
}

/** A key that lies before the manifests of ranges from `first` on, and after those that begin earlier. */
export const manifestAfter = (partition: PartitionName, first: bigint): string =>
  first === 0n ? manifestsPrefix(partition) : `${manifestsPrefix(partition)}${padded(first - 1n)}~`

export const repeatsPrefix = (partition: PartitionName): string => REPEATS_PREFIX + folderOf(partition)

/** When the range's last record was appended stands in the name, so that old ones need not be read to be passed over. */
export const repeatsKey = (range: RangeName, appendedMs: number): string =>
  `${repeatsPrefix(range)}${rangeOf(range)}.${appendedMs}.bin`

const IN_KEY = /^(?:manifests|repeats)\/([^/]+)\/(\d+)\/(\d+)-(\d+)(?:\.(\d+)\.bin|(?:\.r(\d{6}))?\.json)$/

/** What the name of a manifest or of a range's repeat keys says; undefined for any other key. */
export function parseRangeKey(
  key: string,
): (RangeName & { readonly appendedMs: number | undefined; readonly revision: number }) | undefined {
  const [, epoch, partition, first, last, appendedMs, revision = '0'] = IN_KEY.exec(key) ?? []
  if (epoch === undefined || first === undefined || last === undefined) return undefined
  return {
    epoch,
    partition: Number(partition),
    first: BigInt(first),
    last: BigInt(last),
    appendedMs: appendedMs === undefined ? undefined : Number(appendedMs),
    revision: Number(revision),
  }
}

/** What the name of an object of events says. */
export interface ObjectName extends RangeName {
  readonly project: string
  /** Start of the hour of arrival, milliseconds since 1970. */
  readonly hourMs: number
}

const OBJECT_KEY =
  /^events\/([^/]+)\/(\d{4}-\d\d-\d\d)\/(\d\d)\/[^/]+\/([\w-]+)\+(\d{1,10})\+(\d{1,20})\+(\d{1,20})\.(?:[0-9a-f]{16}\.)?(?:jsonl\.(?:gz|zst)|avro)$/

/** Undefined for a key that `objectKey` does not make. */
export function parseObjectKey(key: string): ObjectName | undefined {
  const [, project, date, hour, epoch, partition, first, last] = OBJECT_KEY.exec(key) ?? []
  if (project === undefined || epoch === undefined || first === undefined || last === undefined) return undefined
  const hourMs = Date.parse(`${date}T${hour}:00:00.000Z`)
  return { project, hourMs, epoch, partition: Number(partition), first: BigInt(first), last: BigInt(last) }
}
