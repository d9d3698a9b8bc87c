import { AppError } from '../errors.ts'
import type { Property } from './filter.ts'

/** A path is at most this many characters and this many names deep; longer ones cannot be in an event either. */
const PATH_CHARS_MAX = 2_048
const PATH_DEPTH_MAX = 100

const OWN_COLUMNS = { 'keen.timestamp': 'timestamp', 'keen.created_at': 'created_at', 'keen.id': 'id' } as const
const isOwnColumn = (name: string): name is keyof typeof OWN_COLUMNS => Object.hasOwn(OWN_COLUMNS, name)

/** A dotted path as a caller wrote it. Throws InvalidPropertyNameError; `field` is the name to blame. */
export function parseProperty(value: unknown, field: string): Property {
  if (typeof value !== 'string' || value === '') {
    throw new AppError('InvalidPropertyNameError', `${field} must be a property name: a string that is not empty.`)
  }
  if (value.length > PATH_CHARS_MAX) {
    throw new AppError('InvalidPropertyNameError', `${field} must be at most ${PATH_CHARS_MAX} characters.`)
  }
  if (isOwnColumn(value)) return { kind: OWN_COLUMNS[value], name: value }
  const segments = value.split('.')
  if (segments.length > PATH_DEPTH_MAX) {
    throw new AppError('InvalidPropertyNameError', `${field} must be at most ${PATH_DEPTH_MAX} names deep.`)
  }
  return { kind: 'property', name: value, segments }
}
