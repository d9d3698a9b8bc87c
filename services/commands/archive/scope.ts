import { InvalidArgumentError, Option } from 'commander'
import type { ArchiveScope } from '../../exporter/domain/scope.ts'

/** ISO 8601 to milliseconds since 1970. */
function moment(text: string): number {
  const ms = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw new InvalidArgumentError('It must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z.')
  return ms
}

export interface ScopeOptions {
  readonly project?: string
  readonly from?: number
  readonly to?: number
}

export const scopeOptions = (): readonly Option[] => [
  new Option('--project <id>', 'events of this project alone'),
  new Option('--from <time>', 'events that arrived from this hour on').argParser(moment),
  new Option('--to <time>', 'events that arrived before it').argParser(moment),
]

export const scopeOf = ({ project, from, to }: ScopeOptions): ArchiveScope => ({ project, fromMs: from, toMs: to })
