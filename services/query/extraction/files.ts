import type { Readable } from 'node:stream'
import type { ExtractionFormat } from './writers.ts'

/** An extraction to a file, as it is kept. Times in milliseconds since 1970. */
export interface ExtractionJob {
  /** 32 hex characters, drawn at random. */
  readonly id: string
  readonly projectId: string
  readonly keyId: string
  /** Of the key and of which rows it saw: who may ask for the job. */
  readonly seenBy: string
  readonly collection: string
  readonly format: ExtractionFormat
  readonly gzip: boolean
  readonly state: 'waiting' | 'running' | 'done' | 'failed'
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly endedAtMs: number | null
  readonly expiresAtMs: number
  /** When the process that has it last said so. */
  readonly aliveAtMs: number
  readonly events: number
  /** Of the file. */
  readonly bytes: number
  readonly error: { readonly code: string; readonly message: string } | null
}

export type JobName = Pick<ExtractionJob, 'projectId' | 'id'>

/** Where jobs and their files are kept. Ids are checked here: none leads out of the place. */
export interface ExtractionFiles {
  /** Of one project, or of all; those whose record cannot be read are left out. */
  list(projectId?: string): Promise<readonly ExtractionJob[]>
  get(name: JobName): Promise<ExtractionJob | undefined>
  /** Replaces the record: old or new, never something between. */
  put(job: ExtractionJob): Promise<void>
  /**
   * Writes the job's file and gives its size in bytes. Only a whole file is ever there for `read`; `text` is left early
   * when writing fails or `signal` aborts.
   */
  write(name: JobName, text: AsyncIterable<string>, options: { gzip: boolean; signal: AbortSignal }): Promise<number>
  /** Undefined when there is no whole file. */
  read(name: JobName): Promise<Readable | undefined>
  /** The record, the file, and what there is of one. */
  remove(name: JobName): Promise<void>
}
