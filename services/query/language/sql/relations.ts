import type { Grant } from '../../../shared/registry/grant.ts'
import type { Binder } from '../bind.ts'
import { eventsSource } from '../source.ts'
import type { SeenTypes } from '../columns.ts'
import { naturalOf, readAs } from './property-column.ts'
import type { SqlType } from './types.ts'

/** A column of a table in a FROM. */
export interface RelationColumn {
  readonly sql: string
  readonly isTime: boolean
  /** Of a property that was seen with several types: its value as one of them. */
  readonly readAs?: (type: SqlType) => string | undefined
}

export interface OutputColumn {
  /** The caller's. */
  readonly name: string
  /** Ours; unique in the statement. */
  readonly sqlName: string
  readonly isTime: boolean
}

export interface Relation {
  /** What the caller calls it; null for a subquery without a name. */
  readonly name: string | null
  /** Takes any name, as events do. */
  readonly isOpen: boolean
  column(segments: readonly string[]): RelationColumn | undefined
  star(): readonly { readonly name: string; readonly column: RelationColumn }[]
  /** What stands behind FROM: asked for last, when it is known which columns are wanted. */
  render(): string
  /** Of events: `timestamp` is from here, before there; what is outside need not be read. */
  narrow?: (range: { readonly fromMs?: number; readonly beforeMs?: number }) => void
}

/** All that the table can hold. */
const ALWAYS: { readonly startMs: number; readonly endMs: number } = {
  startMs: Date.UTC(1900, 0, 1),
  endMs: Date.UTC(2299, 11, 31),
}

/**
 * No condition of the caller's is moved below a LIMIT. Without it the warehouse would mix it with those of the grant, look
 * at it for rows that the key does not see, and whether it fails there (`intDiv(1, price - 5)`) would tell what they hold.
 */
const BARRIER = '9223372036854775807'

const OWN: Readonly<Record<string, { readonly sql: string; readonly isTime: boolean }>> = {
  timestamp: { sql: 'timestamp', isTime: true },
  'keen.timestamp': { sql: 'timestamp', isTime: true },
  'keen.created_at': { sql: 'created_at', isTime: true },
  'keen.id': { sql: 'toString(id)', isTime: false },
  'keen.event': { sql: 'body', isTime: false },
}
const STARRED = ['keen.id', 'keen.timestamp', 'keen.created_at', 'keen.event'] as const

/** A collection, as the grant sees it. `seen` tells the types that a property of it has been seen with. */
export function eventsRelation(
  grant: Grant,
  collection: string,
  name: string,
  sqlName: string,
  binder: Binder,
  seen: (path: string) => SeenTypes,
): Relation {
  const names = new Map<string, string>()
  const select = (sql: string): string => {
    const known = names.get(sql)
    if (known !== undefined) return `${sqlName}.${known}`
    names.set(sql, `c${names.size}`)
    return `${sqlName}.c${names.size - 1}`
  }
  const columns = new Map<string, RelationColumn>()
  let timeframe = ALWAYS
  const column = (segments: readonly string[]): RelationColumn => {
    const path = segments.join('.')
    const known = columns.get(path)
    if (known !== undefined) return known
    const own = Object.hasOwn(OWN, path) ? OWN[path] : undefined
    let found: RelationColumn
    if (own !== undefined) found = { sql: select(own.sql), isTime: own.isTime }
    else {
      const { sql, isMixed } = naturalOf(segments, seen(path), binder)
      const reader = (type: SqlType): string | undefined => {
        const read = readAs(segments, type, binder)
        return read === undefined ? undefined : select(read)
      }
      found = { sql: select(sql), isTime: false, ...(isMixed && { readAs: reader }) }
    }
    columns.set(path, found)
    return found
  }
  return {
    name,
    isOpen: true,
    column,
    star: () =>
      STARRED.map((path) => ({ name: path === 'keen.event' ? 'event' : path, column: column(path.split('.')) })),
    render: () => {
      const selected = [...names].map(([sql, as]) => `${sql} AS ${as}`)
      const source = eventsSource(grant, { collection, timeframe }, selected, binder)
      return `(SELECT * FROM ${source} LIMIT ${BARRIER}) AS ${sqlName}`
    },
    narrow: ({ fromMs, beforeMs }) => {
      timeframe = {
        startMs: Math.max(timeframe.startMs, fromMs ?? -Infinity),
        endMs: Math.min(timeframe.endMs, beforeMs ?? Infinity),
      }
    },
  }
}

export function derivedRelation(
  sql: string,
  output: readonly OutputColumn[],
  name: string | null,
  sqlName: string,
): Relation {
  const of = ({ sqlName: column, isTime }: OutputColumn): RelationColumn => ({ sql: `${sqlName}.${column}`, isTime })
  return {
    name,
    isOpen: false,
    column: (segments) => {
      const path = segments.join('.')
      const found = output.find((column) => column.name === path)
      return found === undefined ? undefined : of(found)
    },
    star: () => output.map((column) => ({ name: column.name, column: of(column) })),
    render: () => `(${sql}) AS ${sqlName}`,
  }
}
