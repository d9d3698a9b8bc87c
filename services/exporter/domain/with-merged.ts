import type { Place } from './compaction.ts'
import { isMerged, type Manifest } from './manifest.ts'

/** The manifest with the objects of these keys found in merged files; undefined when it names none of them (any more). */
export function withMerged(manifest: Manifest, places: ReadonlyMap<string, Place>): Manifest | undefined {
  let isChanged = false
  const objects = manifest.objects.map((object) => {
    const place = isMerged(object) ? undefined : places.get(object.key)
    if (place === undefined || place.sha256 !== object.sha256) return object
    isChanged = true
    return { ...object, key: place.key, at: place.at, file_bytes: place.fileBytes }
  })
  return isChanged ? { ...manifest, objects } : undefined
}
