import { parseDateTime } from '../filters/datetime.ts'
import { parseFilters } from '../filters/parse.ts'
import { BodyPart, wrong } from './body-part.ts'
import { CADENCE_MINUTES, STREAM_FORMATS, type Stream, TARGET_BYTES } from './model.ts'
import { type DestinationDraft, parseDestination } from './parse-destination.ts'
import { DEFAULT_PREFIX, parsePrefix } from './prefix.ts'
import type { StreamSettings } from './settings.ts'

/** A stream as it was sent: everything but what the server says, and its secret in clear or yet to be taken from the stored one. */
export type StreamDraft = Omit<Stream, 'version' | 'createdAtMs' | 'changedAtMs' | 'destination' | 'filters'> & {
  readonly destination: DestinationDraft
}

/** What a body is read for. */
export interface ParseContext {
  readonly projectId: string
  readonly name: string
  readonly nowMs: number
  readonly settings: StreamSettings
  /** The project's. */
  readonly externalId: string
  /** What it replaces. */
  readonly known: Stream | undefined
}

const FIELDS = [
  'destination',
  'prefix',
  'format',
  'collections',
  'filters',
  'cadence_minutes',
  'target_bytes',
  'start',
  'paused',
] as const
/** Only the server says these: they may come back as they were shown, and mean nothing. */
const SHOWN = ['name', 'project_id', 'version', 'created_at', 'changed_at', 'external_id', 'state'] as const

const COLLECTIONS_MAX = 1_000
/** What the API takes as a collection's name when events are recorded. */
const isCollection = (name: string): boolean => /^\p{ASCII}{1,64}$/u.test(name) && !/[\r\n]/.test(name)

/**
 * The body of a PUT, which replaces all, but for what would do harm when it is forgotten: a stream goes on from where it
 * started, and a paused one stays paused. Throws errors with status 400 that name the field.
 */
export function parseStream(json: unknown, context: ParseContext): StreamDraft {
  const { projectId, name, known, settings } = context
  const body = new BodyPart(json, '', [...FIELDS, ...SHOWN])
  const destination = parseDestination(body, settings, context.externalId)
  const collections = parseCollections(body)
  const filtersJson = body.given('filters') ?? []
  parseFilters(filtersJson)
  return {
    projectId,
    name,
    destination,
    prefix: parsePrefix(body.optionalText('prefix', /^.*$/s, 'a text') ?? DEFAULT_PREFIX, body.field('prefix'), {
      project: projectId,
      stream: name,
      collections,
    }),
    format: body.oneOf('format', STREAM_FORMATS),
    collections,
    filtersJson: filtersJson as readonly unknown[],
    cadenceMinutes: body.integer('cadence_minutes', CADENCE_MINUTES),
    targetBytes: body.integer('target_bytes', TARGET_BYTES),
    startMs: parseStart(body, context.nowMs) ?? known?.startMs ?? context.nowMs,
    paused: body.optionalFlag('paused') ?? known?.paused ?? false,
  }
}

function parseCollections(body: BodyPart): readonly string[] | null {
  const value = body.given('collections')
  if (value === undefined) return null
  const field = body.field('collections')
  if (!Array.isArray(value) || value.length === 0 || value.length > COLLECTIONS_MAX) {
    throw wrong(field, `must be null, for all, or an array of 1 to ${COLLECTIONS_MAX} names`)
  }
  const names = value.map((name: unknown, i) => {
    if (typeof name === 'string' && isCollection(name)) return name
    throw wrong(`${field}[${i}]`, 'must be the name of a collection')
  })
  if (new Set(names).size !== names.length) throw wrong(field, 'must not name a collection twice')
  return names
}

function parseStart(body: BodyPart, nowMs: number): number | undefined {
  const text = body.optionalText('start', /^.*$/s, 'a text')
  if (text === undefined) return undefined
  const startMs = text === 'now' ? nowMs : parseDateTime(text)?.epochMs
  if (startMs === undefined || startMs < 0) {
    throw wrong(body.field('start'), 'must be "now" or an ISO-8601 date, perhaps with a time, from 1970 on')
  }
  return startMs
}
