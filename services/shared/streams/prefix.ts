import { keyPart } from '../bucket/domain/key-part.ts'
import { wrong } from './body-part.ts'

export const DEFAULT_PREFIX = '{project}/{stream}/{collection}/{year}-{month}-{day}/{hour}/'

const VARIABLES = ['project', 'stream', 'collection', 'year', 'month', 'day', 'hour', 'minute'] as const
type Variable = (typeof VARIABLES)[number]
const KEY_BYTES_MAX = 1_024
/** What is kept free for the name of the file behind the prefix. */
export const FILE_NAME_BYTES_MAX = 200
/** Every character of such a name is escaped: no collection's part of a key is longer. */
const LONGEST_COLLECTION = ' '.repeat(64)

/** What a prefix is rendered for. `timeMs` is when the events arrived. */
export interface PrefixPlace {
  readonly project: string
  readonly stream: string
  readonly collection: string
  readonly timeMs: number
}

/** The start of an object's key. `template` is one that `parsePrefix` let through; times are in UTC. */
export function renderPrefix(template: string, { project, stream, collection, timeMs }: PrefixPlace): string {
  const [year = '', month = '', day = '', hour = '', minute = ''] = new Date(timeMs).toISOString().split(/[-T:]/)
  const values: Readonly<Record<string, string>> = {
    project: keyPart(project),
    stream: keyPart(stream),
    collection: keyPart(collection),
    year,
    month,
    day,
    hour,
    minute,
  } satisfies Record<Variable, string>
  return template.replaceAll(/\{([a-z]+)\}/g, (all, name: string) => values[name] ?? all)
}

/**
 * Checks a prefix for a stream of these collections (null: any), and gives it back. Throws InvalidRequestFieldError that
 * names the variable or the rule.
 */
export function parsePrefix(
  template: string,
  field: string,
  place: { readonly project: string; readonly stream: string; readonly collections: readonly string[] | null },
): string {
  if (/\p{Cc}|\p{Cs}/u.test(template)) throw wrong(field, 'must not have control characters')
  if (template.startsWith('/')) throw wrong(field, 'must not start with a slash')
  for (const [all, name = ''] of template.matchAll(/\{([^{}]*)\}/g)) {
    if ((VARIABLES as readonly string[]).includes(name)) continue
    throw wrong(field, `has ${all}, which is not one of ${VARIABLES.map((known) => `{${known}}`).join(' ')}`)
  }
  if (/[{}]/.test(template.replaceAll(/\{[^{}]*\}/g, ''))) throw wrong(field, 'has a brace without its other half')
  const parts = template.split('/')
  if (parts.slice(0, -1).includes('')) throw wrong(field, 'must not have an empty part between slashes')
  if (parts.some((part) => part === '.' || part === '..')) throw wrong(field, 'must not have . or .. as a part')
  const longest = Math.max(
    ...(place.collections ?? [LONGEST_COLLECTION]).map((collection) =>
      Buffer.byteLength(renderPrefix(template, { ...place, collection, timeMs: 0 })),
    ),
  )
  if (longest + FILE_NAME_BYTES_MAX > KEY_BYTES_MAX) {
    throw wrong(field, `may become ${longest} bytes long; at most ${KEY_BYTES_MAX - FILE_NAME_BYTES_MAX} are possible`)
  }
  return template
}
