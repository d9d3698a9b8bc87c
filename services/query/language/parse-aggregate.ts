import { AppError } from '../../shared/errors.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import { AGGREGATES } from './aggregates.ts'
import type { AggregateKind, AggregateNode } from './tree.ts'

/** Values of a request by name: a POST's JSON body, or a GET's parameters after `decodeParameters`. */
export type Fields = Readonly<Record<string, unknown>>

const COLLECTION_CHARS_MAX = 256

/** `prefix` stands before the names of fields in messages. */
export function parseAggregate(kind: AggregateKind, fields: Fields, prefix = ''): AggregateNode {
  if (!AGGREGATES[kind].hasTarget) return { kind, target: null, percentile: null, isApproximate: false }
  const isApproximate = parseFlag(fields['approximate'], `${prefix}approximate`, false)
  const field = `${prefix}target_property`
  const target = parseProperty(requiredField(fields['target_property'], field), field)
  return {
    kind,
    target,
    percentile: kind === 'percentile' ? parsePercentile(fields['percentile'], `${prefix}percentile`) : null,
    isApproximate,
  }
}

function parsePercentile(value: unknown, field: string): number {
  const percentile = requiredField(value, field)
  const hundredths = typeof percentile === 'number' ? Math.round(percentile * 100) : Number.NaN
  // 99.99 * 100 is not quite 9999 in binary: what is written with two decimals is a whole number of hundredths.
  if (!(hundredths >= 0 && hundredths <= 10_000) || hundredths / 100 !== percentile) {
    throw new AppError('InvalidPercentileError', `${field} must be a number from 0 to 100 with at most two decimals.`)
  }
  return hundredths
}

export function parseCollection(value: unknown, field = 'event_collection'): string {
  const name = requiredField(value, field)
  if (typeof name !== 'string' || name.length > COLLECTION_CHARS_MAX) {
    throw new AppError('InvalidRequestFieldError', `${field} must be the name of a collection.`)
  }
  return name
}

export function requiredField(value: unknown, field: string): unknown {
  if (value !== undefined && value !== null && value !== '') return value
  throw new AppError('MissingRequiredRequestFieldError', `${field} is required.`)
}

export function parseFlag(value: unknown, field: string, absent: boolean): boolean {
  if (value === undefined || value === null || value === '') return absent
  if (typeof value === 'boolean') return value
  throw new AppError('InvalidRequestFieldError', `${field} must be true or false.`)
}
