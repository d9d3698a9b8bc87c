import type { Bucket } from '../../shared/bucket/port.ts'

export interface EraseDeps {
  readonly archive: Bucket
  /** For drafts that are too large for memory. */
  readonly folder: string
  /** Resolves while the work is this process's. */
  readonly confirm: () => Promise<void>
  readonly signal: AbortSignal
}

/** What an erasure did to objects of the archive. */
export interface ErasedObjects {
  /** Events that are gone, and events that lost a property. */
  readonly erased: number
  readonly changed: number
  /** Objects that were written anew or removed. */
  readonly objects: number
}

export const NOTHING_ERASED: ErasedObjects = { erased: 0, changed: 0, objects: 0 }

export const sumOf = (a: ErasedObjects, b: ErasedObjects): ErasedObjects => ({
  erased: a.erased + b.erased,
  changed: a.changed + b.changed,
  objects: a.objects + b.objects,
})
