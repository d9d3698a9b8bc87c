import { parseExactly } from '../../ingest/domain/exact-json.ts'

/** An event as it is sent: JSON text, with the line (or row) that it came from. */
export interface Entry {
  readonly line: number
  readonly json: string
}

export interface Refusal {
  readonly line: number
  readonly name: string
  readonly description: string
}

/**
 * Consecutive lines of the source. Where a batch begins and ends depends on the source and the two bounds alone, so
 * that a repeated run cuts the same ones, and sends them under the same names.
 */
export interface Batch {
  readonly firstLine: number
  readonly lastLine: number
  readonly entries: readonly Entry[]
  /** Lines of this range that are not events, found before sending. */
  readonly refused: readonly Refusal[]
}

/** One line of the source, made ready; `refused` when it is no event; undefined for a blank line. */
export type Prepared = { readonly json: string } | { readonly refused: Omit<Refusal, 'line'> } | undefined

/** Gathers lines into batches of at most `linesMax` lines and, but for a single long line, `bytesMax` bytes. */
export async function* gather(
  lines: AsyncIterable<{ readonly number: number; readonly prepared: Prepared }>,
  bounds: { readonly linesMax: number; readonly bytesMax: number },
): AsyncGenerator<Batch> {
  let entries: Entry[] = []
  let refused: Refusal[] = []
  let bytes = 0
  let firstLine = 0
  let lastLine = 0
  const cut = (): Batch => {
    const batch = { firstLine, lastLine, entries, refused }
    entries = []
    refused = []
    bytes = 0
    firstLine = 0
    return batch
  }
  for await (const { number, prepared } of lines) {
    const size = prepared !== undefined && 'json' in prepared ? Buffer.byteLength(prepared.json) + 1 : 0
    if (firstLine !== 0 && (number - firstLine >= bounds.linesMax || bytes + size > bounds.bytesMax)) yield cut()
    if (firstLine === 0) firstLine = number
    lastLine = number
    bytes += size
    if (prepared === undefined) continue
    if ('json' in prepared) entries.push({ line: number, json: prepared.json })
    else refused.push({ line: number, ...prepared.refused })
  }
  if (firstLine !== 0) yield cut()
}

/** The body of `POST /3.0/projects/P/events` with these events in one collection; their texts go as they are. */
export function bulkBody(collection: string, entries: readonly Entry[]): string {
  return `{${JSON.stringify(collection)}:[${entries.map(({ json }) => json).join(',')}]}`
}

/**
 * A line of JSON made ready to send. With `timestampProperty`, that property is moved to `keen.timestamp`; a number is
 * seconds since 1970, or milliseconds from 100,000,000,000 on.
 */
export function prepareLine(text: string | undefined, timestampProperty: string | undefined): Prepared {
  if (text === undefined) return { refused: { name: 'EventTooLargeError', description: 'The line is too long.' } }
  if (text.trim() === '') return undefined
  let event: unknown
  try {
    event = JSON.parse(text)
  } catch (error) {
    return { refused: { name: 'InvalidJSONError', description: (error as Error).message } }
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    return { refused: { name: 'InvalidEventError', description: 'The line is not a JSON object.' } }
  }
  const isExported = /"(?:id|created_at)"/.test(text) && hasGivenNames(event as Record<string, unknown>)
  if (timestampProperty === undefined && !isExported) return { json: text }
  // Written again, so with all its digits.
  const exact = parseExactly(text) as Record<string, unknown>
  const own = isExported ? withoutGivenNames(exact) : exact
  return timestampProperty === undefined ? { json: JSON.stringify(own) } : lift(own, timestampProperty)
}

/** What the service gives an event and refuses from a producer; events that were extracted from one have it. */
const GIVEN = ['id', 'created_at'] as const

const hasGivenNames = ({ keen }: Record<string, unknown>): boolean =>
  typeof keen === 'object' && keen !== null && GIVEN.some((name) => name in keen)

function withoutGivenNames({ keen, ...rest }: Record<string, unknown>): Record<string, unknown> {
  const { id: _id, created_at: _createdAt, ...kept } = keen as Record<string, unknown>
  return { ...rest, keen: kept }
}

function lift(event: Record<string, unknown>, property: string): Prepared {
  const { [property]: given, keen, ...rest } = event
  const refusal = (description: string): Prepared => ({ refused: { name: 'InvalidPropertyValueError', description } })
  if (given === undefined) return refusal(`The event has no property ${property}.`)
  const date = typeof given === 'number' ? new Date(given < 1e11 ? given * 1_000 : given) : undefined
  if (date !== undefined && Number.isNaN(date.getTime())) return refusal(`${property} is no time.`)
  if (date === undefined && typeof given !== 'string') return refusal(`${property} is neither a text nor a number.`)
  const timestamp = date === undefined ? given : date.toISOString()
  return { json: JSON.stringify({ ...rest, keen: { ...(keen as object | undefined), timestamp } }) }
}
