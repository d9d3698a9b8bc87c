import type { Readable } from 'node:stream'

/**
 * Objects by name, each written once and never changed: it is there whole or not at all. What has to change is written
 * under another name. Three adapters keep this promise (`folder/`, `s3/`, `gcs/`), and one contract suite
 * (`test/contract/bucket.ts`) holds them to it.
 */

/** Names are lower-case letters, digits and `-`; values are printable ASCII; all together at most 2 KiB, as S3 takes. */
export type ObjectMetadata = Readonly<Record<string, string>>

export interface StoredObject {
  readonly key: string
  readonly bytes: number
  /** Empty where the object was put there by somebody else, or its metadata got lost on the way of a copy. */
  readonly metadata: ObjectMetadata
}

export interface ListedObject {
  readonly key: string
  readonly bytes: number
}

/** A part of an object's bytes. */
export interface ByteRange {
  /** How many bytes are before it. */
  readonly at: number
  /** At least 1. */
  readonly bytes: number
}

/** Bytes that can be read again from their start, since an upload that broke off is begun anew. */
export interface ObjectBody {
  readonly bytes: number
  readonly open: () => Readable
}

export interface PutOptions {
  readonly contentType: string
  readonly metadata?: ObjectMetadata
  readonly signal: AbortSignal
}

export interface ListOptions {
  /** Only keys after this one. */
  readonly after?: string
  readonly signal: AbortSignal
}

/**
 * All calls reject with BUCKET_UNAVAILABLE when the answer is unknown or another try may do (an outage, too many
 * requests), and with BUCKET_REFUSED when only somebody who owns the bucket can help: `details.reason` is a
 * `BucketRefusal`. A key is 1 to 1,024 bytes of UTF-8 without control characters; its parts between `/` are not empty, `.` or `..`.
 */
export interface Bucket {
  readonly kind: 'folder' | 's3' | 'gcs'
  /** For a person: the scheme and the bucket's name, never a credential. */
  readonly description: string

  /**
   * Writes an object where there is none; resolves once it is durable and can be read. Of several writers at most one
   * succeeds. Rejects with BUCKET_CONFLICT when there is one: it may be this very call's, when an answer to an earlier
   * try got lost; compare what is there by its metadata.
   */
  put(key: string, body: ObjectBody, options: PutOptions): Promise<void>

  /** What is known of an object without reading it; undefined when there is none. */
  head(key: string, signal: AbortSignal): Promise<StoredObject | undefined>

  /**
   * Its bytes, or those of `range`; undefined when there is no such object. The stream fails when the bytes end early,
   * those of a range too, and must be read or destroyed. Where a range begins past the end, the call may reject instead.
   */
  get(key: string, signal: AbortSignal, range?: ByteRange): Promise<Readable | undefined>

  /** Keys that start with `prefix`, in the order of their UTF-8 bytes. Everything written before the call is among them. */
  list(prefix: string, options: ListOptions): AsyncIterable<ListedObject>

  /** Resolves when there is no such object (any more). */
  delete(key: string, signal: AbortSignal): Promise<void>

  close(): Promise<void>
}

/** Why a bucket's owner must act. */
export type BucketRefusal = 'forbidden' | 'credentials' | 'no_bucket' | 'quota' | 'invalid'
