import { LRUCache } from 'lru-cache'
import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { AppError } from '../../shared/errors.ts'
import { readCompactionPlan } from '../archive/compaction-plans.ts'
import { inParallel } from '../archive/in-parallel.ts'
import { putOnce } from '../archive/put-once.ts'
import { isMissing, readNewest, storedBytes } from '../archive/read-archive.ts'
import { reviseRange } from '../archive/revise-range.ts'
import { CONTENT_TYPES } from '../domain/archive-format.ts'
import type { CompactionPlan } from '../domain/compaction.ts'
import { type ArchivedObject, isMerged, type Manifest, type MergedObject } from '../domain/manifest.ts'
import { mergedKey, parseMergedKey } from '../domain/merged-key.ts'
import { draftOf } from '../spool/draft.ts'
import { eraseContent, isTouched, withoutErased } from './erase-content.ts'
import { type EraseDeps, type ErasedObjects, NOTHING_ERASED } from './erase-deps.ts'
import { removeReplaced } from './remove-replaced.ts'

/** Ranges that are looked at or written at once. */
const AT_ONCE = 8
/** Names that are remembered, so that a file is not looked at once for each of its ranges. */
const NAMES_MAX = 10_000
const PLANS_MAX = 2
const MARK_DIGITS = 16

/** What a range's newest manifest says of its part of a file. */
interface Part {
  /** The key of the range's first manifest. */
  readonly manifest: string
  readonly object: MergedObject
}

/** A part as it is in the file that is written anew; without an object, nothing is left of it. */
interface NewPart {
  readonly object: Omit<ArchivedObject, 'key' | 'at' | 'file_bytes'> | undefined
  readonly at: number
  readonly erased: number
}

const damaged = (message: string, key: string): AppError =>
  new AppError('ARCHIVE_DAMAGED', message, { details: { key } })

/**
 * Merged files in the course of one erasure. A file is of many ranges, and is written anew as a whole: of what their newest
 * manifests name of it, so that bytes which none names any more are gone with it.
 */
export class MergedFiles {
  readonly #deps: EraseDeps
  readonly #clean = new LRUCache<string, true>({ max: NAMES_MAX })
  readonly #removed = new LRUCache<string, true>({ max: NAMES_MAX })
  readonly #plans = new LRUCache<number, CompactionPlan>({ max: PLANS_MAX })

  constructor(deps: EraseDeps) {
    this.#deps = deps
  }

  /** Whether there is nothing (any more) to be done about a file, as this erasure knows. */
  isClean(key: string): boolean {
    return this.#clean.has(key) || this.#removed.has(key)
  }

  /**
   * Writes a file anew without what `erase` takes out, if that is anything or if some of its bytes are no range's any
   * more; then each of its ranges gets its next manifest, and the file is deleted. Rejects as the bucket does, and with
   * ARCHIVE_DAMAGED.
   */
  async rewrite(key: string, erase: Erase): Promise<ErasedObjects> {
    const { archive, signal, confirm } = this.#deps
    const parts = await this.#parts(key)
    const [{ object } = { object: undefined }] = parts
    if (object === undefined) return this.#nothingTo(key)
    const touched = new Set<Part>()
    for (const part of parts) if (await isTouched(this.#deps, part.object, erase)) touched.add(part)
    const isCovered = parts.reduce((sum, part) => sum + part.object.bytes, 0) === object.file_bytes
    if (touched.size === 0 && isCovered) return this.#nothingTo(key)

    const found = await this.#write(key, parts, touched, erase)
    await confirm()
    await inParallel(parts, AT_ONCE, async ({ manifest }) => {
      const part = found.parts.get(manifest)
      if (part === undefined) return
      await reviseRange(archive, manifest, (newest) => withPart(newest, key, found, part), signal)
    })
    await confirm()
    await this.#remove(key)
    await inParallel(parts, AT_ONCE, async ({ manifest }) => removeReplaced(this.#deps, manifest, this))
    const erased = [...found.parts.values()].reduce((sum, part) => sum + part.erased, 0)
    return { erased, changed: found.changed, objects: 1 }
  }

  #nothingTo(key: string): ErasedObjects {
    this.#clean.set(key, true)
    return NOTHING_ERASED
  }

  /** Deletes a file that older manifests name, unless the newest one of any of its ranges does: then it gives false. */
  async removeUnlessNamed(key: string): Promise<boolean> {
    if (this.#removed.has(key)) return true
    // The last ones are the last to be given other manifests.
    for (const manifest of (await this.#rangesOf(key)).toReversed()) {
      if ((await this.#objects(manifest)).some((object) => object.key === key)) return false
    }
    await this.#deps.confirm()
    await this.#remove(key)
    return true
  }

  async #remove(key: string): Promise<void> {
    await this.#deps.archive.delete(key, this.#deps.signal)
    this.#removed.set(key, true)
  }

  /** What is named of a file, in the order in which it lies there. */
  async #parts(key: string): Promise<readonly Part[]> {
    const parts: Part[] = []
    await inParallel(await this.#rangesOf(key), AT_ONCE, async (manifest) => {
      for (const object of await this.#objects(manifest)) {
        if (object.key === key && isMerged(object)) parts.push({ manifest, object })
      }
    })
    return parts.toSorted((a, b) => a.object.at - b.object.at)
  }

  /** What a range's newest manifest names: nothing, when the range is not there any more, of which the audit tells. */
  async #objects(manifest: string): Promise<readonly ArchivedObject[]> {
    try {
      return (await readNewest(this.#deps.archive, manifest, this.#deps.signal)).manifest.objects
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  /** Keys of the first manifests of those ranges that may name a file. */
  async #rangesOf(key: string): Promise<readonly string[]> {
    const { archive, signal } = this.#deps
    const name = parseMergedKey(key)
    if (name === undefined) throw damaged('A merged file has a name that is none.', key)
    const plan = this.#plans.get(name.plan) ?? (await readCompactionPlan(archive, name.plan, signal))
    const merge = plan?.merges[name.index]
    if (plan === undefined || merge === undefined)
      throw damaged('The plan of a merged file is not there any more.', key)
    this.#plans.set(name.plan, plan)
    return merge.pieces.map(({ manifest }) => manifest)
  }

  async #write(key: string, parts: readonly Part[], touched: ReadonlySet<Part>, erase: Erase): Promise<NewFile> {
    const { archive, folder, signal, confirm } = this.#deps
    const found = new Map<string, NewPart>()
    let at = 0
    let changed = 0
    const erasing = (object: MergedObject) => eraseContent(this.#deps, object, erase)
    async function* bytes(): AsyncGenerator<Buffer> {
      for (const part of parts) {
        const { manifest, object } = part
        if (!touched.has(part)) {
          for await (const chunk of await storedBytes(archive, object, signal)) yield chunk as Buffer
          found.set(manifest, { object, at, erased: 0 })
          at += object.bytes
          continue
        }
        const content = await erasing(object)
        try {
          found.set(manifest, { object: content.object, at, erased: content.erased })
          changed += content.changed
          if (content.object === undefined) continue
          at += content.object.bytes
          for await (const chunk of content.draft.body.open()) yield chunk as Buffer
        } finally {
          await content.draft.dispose()
        }
      }
    }
    const draft = await draftOf(bytes(), folder)
    try {
      const [{ object } = { object: undefined }] = parts
      const name = parseMergedKey(key)
      if (object === undefined || name === undefined || at === 0) return { key, fileBytes: 0, parts: found, changed }
      const { collection, format } = object
      // By its bytes, which the parts' places depend on: who comes to other ones has another name.
      const next = mergedKey({ ...name, collection }, name, format, draft.sha256.slice(0, MARK_DIGITS))
      await confirm()
      const stamp = { sha256: draft.sha256, contentSha256: draft.sha256 }
      const options = { contentType: CONTENT_TYPES[format], signal }
      const { outcome } = await putOnce(archive, next, draft.body, stamp, options)
      if (outcome === 'mismatched') throw damaged('Something else has the name of a merged file.', next)
      this.#clean.set(next, true)
      return { key: next, fileBytes: at, parts: found, changed }
    } finally {
      await draft.dispose()
    }
  }
}

interface NewFile {
  readonly key: string
  readonly fileBytes: number
  /** By the keys of the ranges' first manifests. */
  readonly parts: ReadonlyMap<string, NewPart>
  readonly changed: number
}

/** The manifest with its part of the file at `old` found in the new one; undefined when it does not name the old one. */
function withPart(manifest: Manifest, old: string, file: NewFile, part: NewPart): Manifest | undefined {
  if (!manifest.objects.some(({ key }) => key === old)) return undefined
  const { object, at, erased } = part
  const objects = manifest.objects.flatMap((one) => {
    if (one.key !== old) return [one]
    return object === undefined ? [] : [{ ...object, key: file.key, at, file_bytes: file.fileBytes }]
  })
  return erased === 0 ? { ...manifest, objects } : withoutErased(manifest, objects, erased)
}
