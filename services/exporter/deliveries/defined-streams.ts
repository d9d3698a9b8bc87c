import type { Logger } from 'pino'
import { AppError } from '../../shared/errors.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import { BACKFILL_KIND, backfillOf, STATE_KIND, stateName } from '../../shared/streams/backfill.ts'
import { STREAM_KIND, type Stream } from '../../shared/streams/model.ts'
import { openDestination } from '../../shared/streams/open-destination.ts'
import type { StreamSecrets } from '../../shared/streams/secrets.ts'
import type { StreamSettings } from '../../shared/streams/settings.ts'
import { streamOf } from '../../shared/streams/stored.ts'
import type { Course, CourseState, Streams } from './stream.ts'

/** A state that did not change is told again after this time, for the sake of its figures. */
const TOLD_AGAIN_MS = 60_000

export interface DefinedStreamsDeps {
  readonly definitions: Definitions
  readonly hasProject: (projectId: string) => boolean
  readonly secrets: StreamSecrets
  readonly settings: StreamSettings
  readonly logger: Pick<Logger, 'warn'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

interface Told {
  readonly text: string
  readonly atMs: number
}

/** The streams of all projects as the control topic has them; their states are told through it too. */
export function definedStreams(deps: DefinedStreamsDeps): Streams {
  const { definitions, hasProject, secrets, settings, logger, now } = deps
  const told = new Map<string, Told>()
  const streamNamed = (project: string, name: string): Stream | undefined => {
    const definition = definitions.get(STREAM_KIND, project, name)
    return definition && streamOf(definition)
  }
  return {
    courses() {
      const found: Course[] = []
      for (const definition of definitions.all(STREAM_KIND)) {
        const stream = hasProject(definition.projectId) ? streamOf(definition) : undefined
        if (stream !== undefined && !stream.paused) found.push(courseOf(stream))
      }
      for (const definition of definitions.all(BACKFILL_KIND)) {
        const backfill = backfillOf(definition)
        const stream = backfill && hasProject(backfill.projectId) && streamNamed(backfill.projectId, backfill.stream)
        if (!stream || stream.paused || stream.createdAtMs !== backfill.streamCreatedAtMs) continue
        const span = { start_ms: backfill.startMs, end_ms: backfill.endMs }
        found.push({ ...courseOf(stream), course: backfill.id, span })
      }
      return found
    },
    async open(course) {
      const stream = streamNamed(course.project, course.stream)
      if (stream === undefined) throw new AppError('BUCKET_UNAVAILABLE', 'The stream is not there any more.')
      return openDestination(stream, secrets, settings)
    },
    report(course, state) {
      const name = stateName(course.stream, course.course)
      const key = `${course.project}/${name}`
      const { state: word, reason, sequence } = state
      const text = JSON.stringify([word, reason, sequence])
      const last = told.get(key)
      if (last?.text === text && now() - last.atMs < TOLD_AGAIN_MS) return
      told.set(key, { text, atMs: now() })
      void tell(definitions, course, name, state).catch((cause: unknown) => {
        told.delete(key)
        logger.warn({ err: cause, stream: course.stream }, 'the state of a stream could not be made known')
      })
    },
  }
}

const tell = async (definitions: Definitions, course: Course, name: string, state: CourseState): Promise<void> => {
  const value = { ...state, stream: course.stream, stream_created_at_ms: course.createdAtMs }
  await definitions.put(STATE_KIND, course.project, name, value)
}

const courseOf = (stream: Stream): Course => ({
  project: stream.projectId,
  stream: stream.name,
  createdAtMs: stream.createdAtMs,
  course: 'main',
  version: stream.version,
  layout: {
    format: stream.format,
    prefix: stream.prefix,
    collections: stream.collections === null ? null : [...stream.collections],
    filters: [...stream.filtersJson],
    cadence_minutes: stream.cadenceMinutes,
    target_bytes: stream.targetBytes,
  },
  span: { start_ms: stream.startMs, end_ms: null },
})
