import { AppError } from '../../shared/errors.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import type { ExtractionNode } from './tree.ts'

/** Events that one answer may hold; more are for files. */
export const EXTRACTED_MAX = 100_000
const PROPERTIES_MAX = 500

/** Throws InvalidRequestFieldError, InvalidPropertyNameError, ExtractionTooLargeError. */
export function parseExtraction(fields: Readonly<Record<string, unknown>>): ExtractionNode {
  return {
    kind: 'extraction',
    latest: parseLatest(fields['latest']),
    properties: parsePropertyNames(fields['property_names']),
  }
}

function parseLatest(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new AppError('InvalidRequestFieldError', 'latest must be a whole number from 1.')
  }
  if (value > EXTRACTED_MAX) {
    throw new AppError('ExtractionTooLargeError', `latest must be at most ${EXTRACTED_MAX} events.`)
  }
  return value
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
