import { AppError } from '../shared/errors.ts'
import type { Definitions } from '../shared/registry/definitions.ts'
import { Turns } from '../shared/registry/turns.ts'
import {
  BACKFILL_KIND,
  type Backfill,
  backfillName,
  backfillOf,
  STATE_KIND,
  stateName,
} from '../shared/streams/backfill.ts'
import { STREAM_KIND, type Stream } from '../shared/streams/model.ts'
import { openDestination } from '../shared/streams/open-destination.ts'
import { parseBackfill } from '../shared/streams/parse-backfill.ts'
import { parseStream } from '../shared/streams/parse-stream.ts'
import type { Prober, ProbeResult } from '../shared/streams/probe.ts'
import { sealedDestination } from '../shared/streams/sealed-destination.ts'
import type { StreamSecrets } from '../shared/streams/secrets.ts'
import type { StreamSettings } from '../shared/streams/settings.ts'
import { storedStream, streamOf, type StreamValue } from '../shared/streams/stored.ts'
import { notFound } from './request.ts'

export interface StreamsDeps {
  readonly definitions: Definitions
  readonly secrets: StreamSecrets
  readonly settings: StreamSettings
  readonly probe: Prober
  readonly now: () => number
}

/** The streams of all projects, as they are defined. Whoever calls has checked the key. */
export interface Streams {
  /** Under which the project's roles are assumed. */
  externalIdOf(projectId: string): string
  /** By name. */
  list(projectId: string): readonly Stream[]
  /** Throws ResourceNotFoundError. */
  get(projectId: string, name: string): Stream
  /**
   * Makes or replaces. With `isTested`, the destination is tried out first, and the stream is not kept when that fails:
   * InvalidRequestFieldError with `step` and `reason` beside the message. Rejects with what names the field that is wrong.
   */
  put(
    projectId: string,
    name: string,
    body: unknown,
    options: { readonly isTested: boolean },
  ): Promise<{ readonly isNew: boolean; readonly stream: Stream }>
  /** Rejects with ResourceNotFoundError, as the two below. */
  setPaused(projectId: string, name: string, paused: boolean): Promise<Stream>
  delete(projectId: string, name: string): Promise<void>
  /** Those of the stream in its present life, oldest first. Throws ResourceNotFoundError. */
  backfills(projectId: string, name: string): readonly Backfill[]
  /**
   * Has the events that arrived in a stretch of time delivered once more. Rejects with ResourceNotFoundError, with
   * InvalidRequestFieldError that names the field, with InvalidRequestError when there are as many as there may be.
   */
  backfill(projectId: string, name: string, body: unknown): Promise<Backfill>
  /** What the process that delivers has told of a course: `main`, or the id of a back-fill; undefined: nothing yet. */
  stateOf(stream: Stream, course: string): Readonly<Record<string, unknown>> | undefined
  /** Rejects with RateLimitExceededError when too many are tried out at once. */
  test(stream: Stream): Promise<ProbeResult>
}

/** Each stays in the list, with what came of it. */
const BACKFILLS_MAX = 100

const NAME = /^[A-Za-z0-9_-]{1,64}$/

export function createStreams({ definitions, secrets, settings, probe, now }: StreamsDeps): Streams {
  const turns = new Turns()

  const find = (projectId: string, name: string): Stream | undefined => {
    const definition = definitions.get(STREAM_KIND, projectId, name)
    return definition && streamOf(definition)
  }
  const get = (projectId: string, name: string): Stream => {
    const stream = find(projectId, name)
    if (stream === undefined) throw notFound()
    return stream
  }
  const keep = async (projectId: string, name: string, value: StreamValue): Promise<Stream> => {
    const stream = streamOf(await definitions.put(STREAM_KIND, projectId, name, storedStream(value)))
    if (stream === undefined) throw new AppError('InternalServerError', 'a stream was kept that cannot be read')
    return stream
  }
  const requireRoom = (projectId: string, name: string): void => {
    if (definitions.get(STREAM_KIND, projectId, name) !== undefined) return
    if (definitions.list(STREAM_KIND, projectId).length < settings.perProjectMax) return
    throw new AppError('InvalidRequestError', `The project has ${settings.perProjectMax} streams, as many as it may.`)
  }
  const tryOut = (stream: StreamValue & Pick<Stream, 'projectId' | 'name'>): Promise<ProbeResult> =>
    probe(stream, () => openDestination(stream, secrets, settings))

  const backfillsOf = (stream: Stream): readonly Backfill[] =>
    definitions
      .list(BACKFILL_KIND, stream.projectId)
      .flatMap((definition) => backfillOf(definition) ?? [])
      .filter((one) => one.stream === stream.name && one.streamCreatedAtMs === stream.createdAtMs)
      .toSorted((a, b) => a.createdAtMs - b.createdAtMs)

  /** What a stream leaves behind goes with it: it is nothing to another one of the name. */
  const remove = async (projectId: string, name: string): Promise<void> => {
    await definitions.delete(STREAM_KIND, projectId, name)
    for (const kind of [BACKFILL_KIND, STATE_KIND] as const) {
      for (const left of definitions.list(kind, projectId)) {
        if (left.value['stream'] === name) await definitions.delete(kind, projectId, left.name)
      }
    }
  }

  return {
    externalIdOf: (projectId) => secrets.externalIdOf(projectId),
    list: (projectId) => definitions.list(STREAM_KIND, projectId).flatMap((definition) => streamOf(definition) ?? []),
    get,
    put(projectId, name, body, { isTested }) {
      if (!NAME.test(name)) {
        throw new AppError('InvalidRequestFieldError', 'The name must have 1 to 64 letters, digits, _ and - only.')
      }
      return turns.take(`${projectId}/${name}`, async () => {
        const known = find(projectId, name)
        const externalId = secrets.externalIdOf(projectId)
        const draft = parseStream(body, { projectId, name, nowMs: now(), settings, externalId, known })
        const context = { projectId, name, secrets, known: known?.destination }
        const stream = { ...draft, destination: sealedDestination(draft.destination, context) }
        requireRoom(projectId, name)
        if (isTested) requireSuccess(await tryOut(stream))
        // One after another, so that two new ones do not both take the last place.
        return turns.take(projectId, async () => {
          requireRoom(projectId, name)
          return { isNew: known === undefined, stream: await keep(projectId, name, stream) }
        })
      })
    },
    setPaused: (projectId, name, paused) =>
      turns.take(`${projectId}/${name}`, async () => {
        const stream = get(projectId, name)
        return stream.paused === paused ? stream : keep(projectId, name, { ...stream, paused })
      }),
    delete: (projectId, name) => turns.take(`${projectId}/${name}`, () => remove(projectId, name)),
    backfills: (projectId, name) => backfillsOf(get(projectId, name)),
    backfill: (projectId, name, body) =>
      turns.take(`${projectId}/${name}`, async () => {
        const stream = get(projectId, name)
        const { startMs, endMs } = parseBackfill(body, now())
        if (backfillsOf(stream).length >= BACKFILLS_MAX) {
          throw new AppError(
            'InvalidRequestError',
            `The stream has had ${BACKFILLS_MAX} back-fills, as many as it may.`,
          )
        }
        const id = now().toString(36)
        const value = { id, stream: name, streamCreatedAtMs: stream.createdAtMs, startMs, endMs }
        const made = backfillOf(await definitions.put(BACKFILL_KIND, projectId, backfillName(name, id), value))
        if (made === undefined) throw new AppError('InternalServerError', 'a back-fill was kept that cannot be read')
        return made
      }),
    stateOf({ projectId, name, createdAtMs }, course) {
      const value = definitions.get(STATE_KIND, projectId, stateName(name, course))?.value
      if (value === undefined || value['stream_created_at_ms'] !== createdAtMs) return undefined
      const { stream: _name, stream_created_at_ms: _life, ...state } = value
      return state
    },
    test: (stream) => tryOut(stream),
  }
}

function requireSuccess(result: ProbeResult): void {
  if (result.ok) return
  const { step, reason, message } = result
  throw new AppError('InvalidRequestFieldError', `destination failed its test at ${step} (${reason}). ${message}`, {
    shown: { step, reason },
  })
}
