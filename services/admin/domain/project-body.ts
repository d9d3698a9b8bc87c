import { checkLimitsByKind } from '../../shared/limits/domain/key-limits.ts'
import type { ProjectFields } from '../../shared/registry/types.ts'
import {
  isObject,
  missing,
  requireArray,
  requireJson,
  requireObject,
  requireText,
  wrong,
  type JsonObject,
} from './fields.ts'

const NAME_CHARS_MAX = 256
const USERS_MAX = 1_000
/** As long as an address may be in SMTP, and a little more. */
const EMAIL_CHARS_MAX = 320
const EMAIL = /^[^\s@]+@[^\s@]+$/
const PREFERENCES_MAX = { bytes: 16_384, depth: 10 }

/** A body that makes a project: `name` is required. Throws 4xx errors that name the field. */
export function parseNewProject(json: unknown): ProjectFields {
  const body = requireObject(json)
  const { name, users, preferences } = parseFields(body)
  if (name === undefined) throw missing('name')
  return { name, users: users ?? [], preferences: preferences ?? {} }
}

/** A body that changes a project: what it does not name, or gives as null, stays; `users` are replaced as a whole. */
export const parseProjectChange = (json: unknown): Partial<ProjectFields> => parseFields(requireObject(json))

function parseFields(body: JsonObject): Partial<ProjectFields> {
  const { name, users, preferences } = body
  return {
    ...(isGiven(name) && { name: parseName(name) }),
    ...(isGiven(users) && { users: requireArray(users, 'users', USERS_MAX).map(parseUser) }),
    ...(isGiven(preferences) && { preferences: parsePreferences(preferences) }),
  }
}

/** Whatever an organization likes to note down; `limits` are for its keys, and checked. */
function parsePreferences(value: unknown): JsonObject {
  const preferences = requireJson(value, 'preferences', PREFERENCES_MAX)
  if (isGiven(preferences['limits'])) checkLimitsByKind(preferences['limits'], 'preferences.limits')
  return preferences
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

function parseName(value: unknown): string {
  const name = requireText(value, 'name', NAME_CHARS_MAX)
  if (name.trim() === '') throw wrong('name', 'must not be empty')
  return name
}

function parseUser(value: unknown, i: number): { email: string } {
  const field = `users[${i}]`
  if (!isObject(value)) throw wrong(field, 'must be an object with an email')
  const email = requireText(value['email'], `${field}.email`, EMAIL_CHARS_MAX)
  if (!EMAIL.test(email)) throw wrong(`${field}.email`, 'must be an email address')
  return { email }
}
