import { expect } from 'vitest'
import { type EventTree, type Leaf, leavesOf, meaning, numberMeaning, type Tree } from './generated.ts'

export type Cells = ReadonlyMap<string, unknown>

const RESERVED = ['keen.timestamp', 'keen.created_at', 'keen.id', '_rest']
const nameOf = (path: readonly string[]): string => path.join('.').toWellFormed()

/**
 * Each leaf of each event stands in its row once, in the column of its name or in `_rest`, and nothing else stands there.
 * `isSame` says whether a cell of a column is a value. `rows` are without `keen`'s own columns and without nulls.
 */
export function expectAllThere(
  events: readonly EventTree[],
  rows: readonly Cells[],
  isSame: (column: string, cell: unknown, value: Tree) => boolean,
): void {
  expect(rows).toHaveLength(events.length)
  const owners = new Map<string, string>()
  const all = events.map((event) => leavesOf(event))
  for (const [i, leaves] of all.entries()) {
    const row = rows[i] ?? new Map()
    const rest = row.get('_rest')
    let inRest = 0
    for (const leaf of leaves) {
      const name = nameOf(leaf.path)
      const key = JSON.stringify(leaf.path)
      const isOwner = !leaf.path.includes('') && !RESERVED.includes(name) && (owners.get(name) ?? key) === key
      if (isOwner) {
        owners.set(name, key)
        expect(
          isSame(name, row.get(name), leaf.value),
          `${name}: ${String(row.get(name))} for ${leaf.value.text}`,
        ).toBe(true)
      } else inRest += 1
    }
    const outside = leaves.filter(({ path }) => owners.get(nameOf(path)) !== JSON.stringify(path))
    expect(outside).toHaveLength(inRest)
    expect(rest === undefined ? undefined : meaning(String(rest))).toEqual(
      inRest === 0 ? undefined : meaning(objectText(outside)),
    )
    expect(row.size - (rest === undefined ? 0 : 1)).toBe(leaves.length - inRest)
  }
}

/** An object of these leaves alone. */
function objectText(leaves: readonly Leaf[], depth = 0): string {
  const byName = Map.groupBy(leaves, ({ path }) => path[depth] ?? '')
  const members = [...byName].map(([name, below]) => {
    const [only] = below
    const isEnd = only !== undefined && only.path.length === depth + 1
    return `${JSON.stringify(name)}:${isEnd ? only.value.text : objectText(below, depth + 1)}`
  })
  return `{${members.join(',')}}`
}

/** As text: a string itself, anything else its JSON. */
export const isSameText = (cell: unknown, value: Tree): boolean =>
  value.kind === 'string'
    ? cell === value.value.toWellFormed()
    : typeof cell === 'string' && meaning(cell) === meaning(value.text)

/** The type of a column of these values. */
export function typeFor(values: readonly Tree[]): string {
  const isAll = (check: (value: Tree) => boolean): boolean => values.every(check)
  const isDouble = ({ text }: Tree): boolean => {
    const double = Number(text)
    return (
      Number.isFinite(double) && numberMeaning(Object.is(double, -0) ? '-0' : String(double)) === numberMeaning(text)
    )
  }
  if (isAll(({ kind }) => kind === 'boolean')) return 'BOOLEAN'
  if (isAll(({ kind, text }) => kind === 'number' && isInt64(text))) return 'INT64'
  return isAll((value) => value.kind === 'number' && isDouble(value)) ? 'DOUBLE' : 'TEXT'
}

function isInt64(text: string): boolean {
  const [digits = '', power = ''] = numberMeaning(text).split('e')
  if (digits === '-0' || Number(power) < 0 || Number(power) > 20) return false
  return BigInt.asIntN(64, BigInt(digits) * 10n ** BigInt(power)) === BigInt(digits) * 10n ** BigInt(power)
}
