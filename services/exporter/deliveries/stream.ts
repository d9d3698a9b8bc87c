import type { Bucket } from '../../shared/bucket/port.ts'
import type { CourseName, Layout, Span } from '../domain/delivery.ts'

/** A course of deliveries as it is defined now. */
export interface Course extends CourseName {
  /** Another one with each change of the definition. */
  readonly version: string
  readonly layout: Layout
  readonly span: Span
}

/** What a person sees of a stream beside its definition. */
export interface CourseState {
  /** `blocked`: only the bucket's owner can help; it is tried again all the same, more and more rarely. */
  readonly state: 'running' | 'failing' | 'blocked' | 'done'
  /** Since when it has been so. ISO 8601. */
  readonly since: string
  /** Of a failure: a code and a sentence. */
  readonly reason: string | null
  readonly message: string | null
  readonly sequence: number
  readonly last_file: string | null
  readonly last_delivered_at: string | null
  /** Age of the oldest event that is in the archive and not delivered, in seconds; 0 when there is none. */
  readonly lag_seconds: number
  /** Since the process took the stream over. */
  readonly events: number
  readonly files: number
  readonly bytes: number
}

/** What the worker is told of streams, and tells of them. */
export interface Streams {
  /** Those that are to be delivered now: paused ones and those of projects that are gone are not among them. */
  courses(): readonly Course[]
  /** Opens the course's own bucket. Rejects with BUCKET_REFUSED when its definition cannot be used (any more). */
  open(course: Course): Promise<Bucket>
  /** Makes a state known; it may be called often. */
  report(course: Course, state: CourseState): void
}
