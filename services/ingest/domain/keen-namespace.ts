import { type Fault, quoted } from './fault.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import { isLongerThan } from './text-length.ts'
import { parseTimestamp } from './timestamp.ts'

/** What the `keen` object of an event says. */
export interface KeenNamespace {
  /** Undefined: when the event was received. */
  readonly timestampMs: number | undefined
  /** As it was written. */
  readonly timestamp: string | undefined
  readonly uniquenessToken: string | undefined
  /** Enrichment instructions, their shape checked. Never stored. */
  readonly addons: readonly Addon[]
  /** What is stored as the event's `keen`; undefined when nothing is. */
  readonly stored: JsonObject | undefined
}

export interface Addon {
  readonly name: string
  readonly input: JsonObject
  readonly output: string
}

const TOKEN_CHARACTERS_MAX = 64
const ADDONS_MAX = 50
const OUTPUT_NAMES_MAX = 20
const NAME_CHARACTERS_MAX = 256

const fault = (code: Fault['code'], message: string): Fault => ({ code, message })
const badValue = (rule: string): Fault => fault('InvalidPropertyValueError', `Property value is invalid: ${rule}.`)

export const isFault = (outcome: object): outcome is Fault => 'code' in outcome && 'message' in outcome

/** Reads the value of an event's property `keen`. */
export function readKeenNamespace(keen: unknown): KeenNamespace | Fault {
  if (!isJsonObject(keen)) return fault('NamespaceTypeError', `The property 'keen' must be an object.`)
  let timestampMs: number | undefined
  let timestamp: string | undefined
  let uniquenessToken: string | undefined
  let addons: readonly Addon[] = []
  let stored: JsonObject | undefined
  for (const [name, value] of Object.entries(keen)) {
    switch (name) {
      case 'timestamp':
        timestamp = typeof value === 'string' ? value : undefined
        timestampMs = timestamp === undefined ? undefined : parseTimestamp(timestamp)
        if (timestampMs === undefined) {
          return badValue(`'keen.timestamp' must be an ISO-8601 time from 1970 to 2199`)
        }
        break
      case 'uniqueness_token':
        if (typeof value !== 'string' || value.length === 0 || isLongerThan(value, TOKEN_CHARACTERS_MAX)) {
          return badValue(`'keen.uniqueness_token' must be a string of 1 to ${TOKEN_CHARACTERS_MAX} characters`)
        }
        uniquenessToken = value
        stored = { ...stored, uniqueness_token: value }
        break
      case 'location':
        if (!isLocation(value)) {
          return badValue(`'keen.location' must be an object, and its coordinates [longitude, latitude]`)
        }
        stored = { ...stored, location: value }
        break
      case 'addons': {
        const read = readAddons(value)
        if ('code' in read) return read
        addons = read
        break
      }
      default:
        return fault(
          'InvalidKeenNamespaceProperty',
          `The 'keen' object may hold timestamp, location, addons and uniqueness_token only. You specified: ${quoted(name)}.`,
        )
    }
  }
  return { timestampMs, timestamp, uniquenessToken, addons, stored }
}

function isLocation(value: unknown): boolean {
  if (!isJsonObject(value)) return false
  if (!Object.hasOwn(value, 'coordinates')) return true
  const { coordinates } = value
  if (!Array.isArray(coordinates) || coordinates.length !== 2) return false
  const [longitude, latitude]: unknown[] = coordinates
  return isWithin(longitude, 180) && isWithin(latitude, 90)
}

const isWithin = (value: unknown, bound: number): boolean => typeof value === 'number' && Math.abs(value) <= bound

function readAddons(value: unknown): readonly Addon[] | Fault {
  if (!Array.isArray(value)) return badValue(`'keen.addons' must be an array`)
  if (value.length > ADDONS_MAX) return badValue(`'keen.addons' must have at most ${ADDONS_MAX} elements`)
  const addons: Addon[] = []
  for (const [i, addon] of value.entries()) {
    if (!isAddon(addon)) {
      return badValue(`'keen.addons.${i}' must be an object with a name, an input object and an output path`)
    }
    if (addon.output === 'keen' || addon.output.startsWith('keen.')) {
      return badValue(`'keen.addons.${i}.output' must not be in the 'keen' object`)
    }
    const names = addon.output.split('.')
    if (
      names.length > OUTPUT_NAMES_MAX ||
      names.some((name) => name === '' || isLongerThan(name, NAME_CHARACTERS_MAX))
    ) {
      return badValue(`'keen.addons.${i}.output' must be a path of at most ${OUTPUT_NAMES_MAX} good property names`)
    }
    addons.push(addon)
  }
  return addons
}

const isAddon = (value: unknown): value is Addon & JsonObject =>
  isJsonObject(value) &&
  typeof value['name'] === 'string' &&
  isJsonObject(value['input']) &&
  typeof value['output'] === 'string' &&
  value['output'] !== ''
