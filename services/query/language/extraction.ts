import { AppError } from '../../shared/errors.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import type { ExtractionNode } from './tree.ts'

/** Events that an answer made in memory may hold; streamed ones and files have limits of their own. */
export const EXTRACTED_MAX = 100_000
const LATEST_MAX = 1_000_000_000
const PROPERTIES_MAX = 500

/** Throws InvalidRequestFieldError, InvalidPropertyNameError. How many events may be had is for the runner to say. */
export function parseExtraction(fields: Readonly<Record<string, unknown>>): ExtractionNode {
  return {
    kind: 'extraction',
    latest: parseLatest(fields['latest']),
    properties: parsePropertyNames(fields['property_names']),
  }
}

function parseLatest(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return Math.min(value, LATEST_MAX)
  throw new AppError('InvalidRequestFieldError', 'latest must be a whole number from 1.')
}

function parsePropertyNames(value: unknown): ExtractionNode['properties'] {
  if (value === undefined || value === null || value === '') return null
  const names: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (names.length === 0) return null
  if (names.length > PROPERTIES_MAX) {
    throw new AppError('InvalidRequestFieldError', `property_names must be at most ${PROPERTIES_MAX} names.`)
  }
  return names.map((name, i) => parseProperty(name, Array.isArray(value) ? `property_names[${i}]` : 'property_names'))
}

/** Refuses `latest` and a number of events found that go past what may be had. `background` is what else could be asked. */
export function checkExtracted(count: number, eventsMax: number, background: string): void {
  if (count <= eventsMax) return
  throw new AppError(
    'ExtractionTooLargeError',
    `The extraction has more than ${eventsMax} events. Ask for a narrower timeframe, more filters, or latest${background}.`,
  )
}
