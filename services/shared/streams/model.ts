import type { S3Encryption } from '../bucket/s3/settings.ts'
import type { Filter } from '../filters/filter.ts'
import type { DefinitionKind } from '../registry/model.ts'

/** What a stream is kept as among a project's definitions. */
export const STREAM_KIND = 'stream' satisfies DefinitionKind

export const STREAM_FORMATS = ['jsonl.gz', 'jsonl.zst', 'csv.gz', 'avro', 'parquet'] as const
export type StreamFormat = (typeof STREAM_FORMATS)[number]

const MIB = 1_048_576
export const CADENCE_MINUTES = { min: 1, max: 60, usual: 5 } as const
export const TARGET_BYTES = { min: MIB, max: 1_024 * MIB, usual: 128 * MIB } as const

/** A project's delivery of its events into a bucket of its own. */
export interface Stream {
  readonly projectId: string
  readonly name: string
  /** Another one with each change, a pause among them; the same in every process. */
  readonly version: string
  readonly createdAtMs: number
  readonly changedAtMs: number
  readonly destination: Destination
  /** What objects' keys begin with; variables in braces, see `renderPrefix`. */
  readonly prefix: string
  readonly format: StreamFormat
  /** Null: all, those to come among them. */
  readonly collections: readonly string[] | null
  /** None of these may be false of an event that is delivered. */
  readonly filters: readonly Filter[]
  /** The same as they were sent, to be shown. */
  readonly filtersJson: readonly unknown[]
  /** How often a file is closed, however little is in it. */
  readonly cadenceMinutes: number
  /** At which size a file is closed before that. */
  readonly targetBytes: number
  /** Events that arrived before are not delivered. */
  readonly startMs: number
  readonly paused: boolean
}

/** Where a stream writes. Secrets are sealed; `StreamSecrets` opens them. */
export type Destination = S3Destination | GcsDestination | FolderDestination

export interface S3Destination {
  readonly kind: 's3'
  readonly bucket: string
  readonly region: string
  /** `https://host:port`; left out: Amazon's. */
  readonly endpoint?: string
  readonly pathStyle: boolean
  readonly credentials: S3StreamCredentials
  readonly encryption?: S3Encryption
}

export type S3StreamCredentials =
  | {
      readonly kind: 'static'
      readonly accessKeyId: string
      readonly sealed: string
      /** Whether a session token is among what was sealed. */
      readonly hasSessionToken: boolean
    }
  /** Assumed by whoever this process is, under the project's external id, which is not kept but derived. */
  | { readonly kind: 'role'; readonly roleArn: string }

export interface GcsDestination {
  readonly kind: 'gcs'
  readonly bucket: string
  /** `https://host:port`; left out: Google's. */
  readonly endpoint?: string
  readonly credentials: { readonly kind: 'service_account'; readonly clientEmail: string; readonly sealed: string }
  readonly kmsKeyName?: string
}

/** Under the operator's folder for streams, in that of the project. */
export interface FolderDestination {
  readonly kind: 'folder'
  readonly folder: string
}
