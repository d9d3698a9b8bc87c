import { createDecipheriv } from 'node:crypto'
import type { Filter } from '../filters/filter.ts'
import { parseFilters } from '../filters/parse.ts'

/** What a scoped key says it may do. */
export interface Scope {
  readonly reads: boolean
  readonly writes: boolean
  /** In the query language's JSON form, checked. */
  readonly filters: readonly unknown[]
  /** The same, parsed. */
  readonly parsed: readonly Filter[]
}

const HEX = /^[0-9a-f]+$/i
const CHARACTERS_MIN = 64
const CHARACTERS_MAX = 8_192
const BLOCK = 16
/** One key length's SDKs pad to blocks of 32 bytes. */
const PADDING_MAX = 32
const KEY_BYTES = 32
/** A key that can be changed without knowing its secret must not be read leniently: other members make it no key. */
const MEMBERS = new Set(['allowed_operations', 'filters'])

/** Whether a presented key has the form of one. */
export const mayBeScoped = (presented: string): boolean =>
  presented.length >= CHARACTERS_MIN &&
  presented.length <= CHARACTERS_MAX &&
  presented.length % (2 * BLOCK) === 0 &&
  HEX.test(presented)

/**
 * What a scoped key says: hexadecimal of an initialisation vector and of JSON that was encrypted with a project's master
 * key (AES-256-CBC). Undefined when it is not one that was made with this master key.
 */
export function readScopedKey(presented: string, masterKey: string): Scope | undefined {
  const key = keyBytes(masterKey)
  if (key === undefined || !mayBeScoped(presented)) return undefined
  const bytes = Buffer.from(presented, 'hex')
  const decipher = createDecipheriv('aes-256-cbc', key, bytes.subarray(0, BLOCK)).setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(bytes.subarray(BLOCK)), decipher.final()])
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(withoutPadding(padded))
    return scopeOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** 64 hexadecimal characters stand for 32 bytes; an older, shorter key is its own text, filled up to them. */
function keyBytes(masterKey: string): Buffer | undefined {
  if (masterKey.length === 2 * KEY_BYTES && HEX.test(masterKey)) return Buffer.from(masterKey, 'hex')
  const bytes = Buffer.from(masterKey)
  const missing = KEY_BYTES - bytes.length
  return missing < 0 ? undefined : Buffer.concat([bytes, Buffer.alloc(missing, missing)])
}

/** Some SDKs leave padding out when the text fills its last block; text does not end with such a byte. */
function withoutPadding(bytes: Buffer): Buffer {
  const count = bytes.at(-1) ?? 0
  if (count === 0 || count > PADDING_MAX || count > bytes.length) return bytes
  const padding = bytes.subarray(bytes.length - count)
  return padding.every((byte) => byte === count) ? bytes.subarray(0, bytes.length - count) : bytes
}

function scopeOf(value: unknown): Scope | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  if (!Object.keys(value).every((name) => MEMBERS.has(name))) return undefined
  const { allowed_operations, filters } = value as Readonly<Record<string, unknown>>
  const operations = allowed_operations ?? ['read', 'write']
  if (!Array.isArray(operations)) return undefined
  const parsed = parseFilters(filters)
  return {
    reads: operations.includes('read'),
    writes: operations.includes('write'),
    filters: Array.isArray(filters) ? (filters as unknown[]) : [],
    parsed,
  }
}
