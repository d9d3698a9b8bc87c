import { HOUR_MS, objectKey, type PartName, type RangeName } from './archive-key.ts'
import { type ArchivedObject, isMerged, type Manifest } from './manifest.ts'
import { mergedKey, parseMergedKey } from './merged-key.ts'

/** What a manifest says wrongly about itself, in words; empty when it is sound. `name` is what its key says. */
export function manifestFaults(name: RangeName, manifest: Manifest): readonly string[] {
  const { records, events, repeats, unusable, objects, erased = 0 } = manifest
  const faults: string[] = []
  if (
    manifest.epoch !== name.epoch ||
    manifest.partition !== name.partition ||
    BigInt(manifest.first) !== name.first ||
    BigInt(manifest.last) !== name.last
  ) {
    faults.push('its key names another range than its content')
  }
  const unusableSum = Object.values(unusable).reduce((sum, count) => sum + count, 0)
  if (records !== events + repeats + unusableSum + erased) {
    faults.push(
      `its ${records} records are not ${events} events + ${repeats} repeats + ${unusableSum} unusable + ${erased} erased`,
    )
  }
  const inObjects = objects.reduce((sum, object) => sum + object.events, 0)
  if (events !== inObjects) faults.push(`it counts ${events} events, and its objects ${inObjects}`)
  if (name.last < name.first || BigInt(records) > name.last - name.first + 1n) {
    faults.push(`its offsets ${name.first} to ${name.last} are too few for ${records} records`)
  }
  if (new Set(objects.map(({ key }) => key)).size !== objects.length) faults.push('it names an object twice')
  for (const object of objects) {
    const fault = objectFault(name, object)
    if (fault !== undefined) faults.push(`its object ${object.key} ${fault}`)
  }
  return faults
}

function objectFault(range: RangeName, object: ArchivedObject): string | undefined {
  const { key, project, collection, format, content_sha256: content } = object
  const hourMs = Date.parse(object.hour)
  if (!Number.isInteger(hourMs / HOUR_MS)) return 'has no hour of arrival'
  const part = { project, collection, hourMs }
  if (isMerged(object)) {
    if (!isKeyOfMerged(object, part)) return 'has not the key that its project, collection and hour make'
    if (object.at + object.bytes > object.file_bytes) return 'does not lie within its file'
  } else {
    const names = [objectKey(range, part, format), objectKey(range, part, `${content.slice(0, 16)}.${format}`)]
    if (!names.includes(key)) return 'has not the key that its project, collection, hour and range make'
  }
  const [first, last] = [BigInt(object.first), BigInt(object.last)]
  if (first < range.first || last > range.last || last < first) return 'has offsets outside of the range'
  if (BigInt(object.events) > last - first + 1n) return 'has more events than offsets'
  return undefined
}

function isKeyOfMerged({ key, format }: ArchivedObject, part: PartName): boolean {
  const name = parseMergedKey(key)
  if (name === undefined) return false
  const mark = /\.([0-9a-f]{16})\.jsonl\.\w+$/.exec(key)?.[1]
  return key === mergedKey(part, name, format, mark)
}
