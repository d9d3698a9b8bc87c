import { keyPart } from '../../bucket/domain/key-part.ts'

/** What may stand in braces in the template of a prefix; the time is that of arrival, UTC. */
export const PREFIX_VARIABLES = ['project', 'stream', 'collection', 'year', 'month', 'day', 'hour', 'minute'] as const
export type PrefixVariable = (typeof PREFIX_VARIABLES)[number]

export const DEFAULT_PREFIX = '{project}/{stream}/{collection}/{year}-{month}-{day}/{hour}/'

export interface PrefixValues {
  readonly project: string
  readonly stream: string
  readonly collection: string
  /** Milliseconds since 1970. */
  readonly timeMs: number
}

const two = (value: number): string => String(value).padStart(2, '0')

/** The beginning of a file's key, from a template that was checked. */
export function renderPrefix(template: string, { project, stream, collection, timeMs }: PrefixValues): string {
  const time = new Date(timeMs)
  const values: Readonly<Record<PrefixVariable, string>> = {
    project,
    stream,
    collection: keyPart(collection),
    year: String(time.getUTCFullYear()),
    month: two(time.getUTCMonth() + 1),
    day: two(time.getUTCDate()),
    hour: two(time.getUTCHours()),
    minute: two(time.getUTCMinutes()),
  }
  return template.replaceAll(/\{([a-z]+)\}/g, (whole, name: string) => values[name as PrefixVariable] ?? whole)
}
