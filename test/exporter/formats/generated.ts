import * as fc from 'fast-check'

/** JSON as text and as a tree, so that expectations do not go through the code that is tested. */
export type Tree =
  | { readonly kind: 'null'; readonly text: string }
  | { readonly kind: 'boolean'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'string'; readonly text: string; readonly value: string }
  | { readonly kind: 'array'; readonly text: string }
  | { readonly kind: 'object'; readonly text: string; readonly entries: readonly (readonly [string, Tree])[] }

/** Names few enough to meet in several events, and odd enough to go wrong. */
const NAMES = [
  'a',
  'b',
  'a.b',
  'user',
  'keen',
  'id',
  '',
  '_rest',
  '1',
  '__proto__',
  'toJSON',
  'é',
  '\u{1f600}',
  '\ud800',
  '\udc00',
]
const name = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...NAMES) }, fc.string({ unit: 'binary', maxLength: 4 }))

const ODD_NUMBERS = [
  '-0',
  '-0.0',
  '0e5',
  '1e400',
  '-1e400',
  '1e-400',
  '1E3',
  '2.0',
  '1.10',
  '1e22',
  '1e23',
  '123456789012345e-3',
]
const number = fc.oneof(
  fc.constantFrom(...ODD_NUMBERS),
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc
    .constantFrom(2n ** 53n, 2n ** 63n, -(2n ** 63n))
    .chain((edge) => fc.integer({ min: -2, max: 2 }).map((near) => String(edge + BigInt(near)))),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? '-0' : String(value))),
  fc.tuple(fc.integer(), fc.stringMatching(/^\d{1,20}$/)).map(([whole, fraction]) => `${whole}.${fraction}`),
)

/** `binary` has halves of surrogate pairs; `JSON.stringify` escapes them. Quotes, separators and line ends are for CSV. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.string({ maxLength: 8 }),
  fc.constantFrom('', '"', 'a,b', '\r\n', '\n', ' x ', '\ud83d'),
)

const { tree } = fc.letrec<{ tree: Tree; object: Tree; array: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.constant<Tree>({ kind: 'null', text: 'null' }),
    fc.boolean().map((value): Tree => ({ kind: 'boolean', text: String(value) })),
    number.map((digits): Tree => ({ kind: 'number', text: digits })),
    text.map((value): Tree => ({ kind: 'string', text: JSON.stringify(value), value })),
    tie('object'),
    tie('array'),
  ),
  object: objectOf(tie('tree')),
  array: fc
    .array(tie('tree'), { maxLength: 3 })
    .map((items): Tree => ({ kind: 'array', text: `[${items.map((item) => item.text).join(', ')}]` })),
}))

function objectOf(values: fc.Arbitrary<Tree>): fc.Arbitrary<Tree & { readonly kind: 'object' }> {
  return fc.uniqueArray(fc.tuple(name, values), { selector: ([key]) => key, maxLength: 5 }).map((entries) => ({
    kind: 'object',
    text: `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value.text}`).join(' ,\n')}}`,
    entries,
  }))
}

/** One value as deep as columns go, and deeper. */
const deep = fc
  .integer({ min: 8, max: 13 })
  .chain((depth) =>
    tree.map((inner) =>
      Array.from({ length: depth }).reduce<Tree>(
        (below) => ({ kind: 'object', text: `{"d":${below.text}}`, entries: [['d', below]] }),
        inner,
      ),
    ),
  )

export type EventTree = Tree & { readonly kind: 'object' }
export const eventTrees: fc.Arbitrary<readonly EventTree[]> = fc.array(
  objectOf(fc.oneof({ weight: 12, arbitrary: tree }, deep)),
  { maxLength: 12 },
)

/** What text of JSON says, whatever the order of names and the spelling of numbers. */
export const meaning = (json: string): string =>
  JSON.stringify(canonical(JSON.parse(json, spelled as (key: string, value: unknown) => unknown)))

function spelled(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value === 'number' ? ['number', numberMeaning(source ?? '')] : value
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return ['array', ...value.map(canonical)]
  if (typeof value !== 'object' || value === null) return value
  return [
    'object',
    ...Object.keys(value)
      .toSorted()
      .map((key) => [key, canonical((value as Record<string, unknown>)[key])]),
  ]
}

/** A decimal number as a whole number without zeros at its end, and a power of ten. */
export function numberMeaning(source: string): string {
  const [mantissa = '', exponent = '0'] = source.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  let digits = BigInt(whole + fraction)
  let power = Number(exponent) - fraction.length
  while (digits !== 0n && digits % 10n === 0n) {
    digits /= 10n
    power += 1
  }
  return `${source.startsWith('-') ? '-' : ''}${digits}e${digits === 0n ? 0 : power}`
}

export interface Leaf {
  readonly path: readonly string[]
  readonly value: Tree
}

/** What a table must hold of an event. */
export function leavesOf(object: EventTree, above: readonly string[] = []): readonly Leaf[] {
  return object.entries.flatMap(([key, value]): readonly Leaf[] => {
    const path = [...above, key]
    if (value.kind === 'null') return []
    return value.kind === 'object' && value.entries.length > 0 && path.length < 10
      ? leavesOf(value, path)
      : [{ path, value }]
  })
}
