import { type Filter, type Property, walkFilters } from '../../shared/filters/filter.ts'
import type { AnalysisNode, Query } from './tree.ts'

/** The properties that the caller's query looks at, by collection; those of the key's filters are not the caller's to see. */
export function lookedAt(query: Query): ReadonlyMap<string, readonly Property[]> {
  if (query.analysis.kind !== 'funnel') {
    const grouped = query.groupBy.map((group) => group.property)
    return new Map([[query.collection, [...grouped, ...filtered(query.filters), ...analysed(query.analysis)]]])
  }
  const found = new Map<string, readonly Property[]>()
  for (const { collection, actor, filters } of query.analysis.steps) {
    found.set(collection, [...(found.get(collection) ?? []), actor, ...filtered(filters)])
  }
  return found
}

/** How many different ones. */
export const countProperties = (query: Query): number =>
  new Set([...lookedAt(query).values()].flat().map(({ name }) => name)).size

const filtered = (filters: readonly Filter[]): readonly Property[] =>
  [...walkFilters(filters)].flatMap((filter) => ('property' in filter ? [filter.property] : []))

function analysed(analysis: Exclude<AnalysisNode, { kind: 'funnel' }>): readonly Property[] {
  if (analysis.kind === 'extraction') return analysis.properties ?? []
  const nodes = analysis.kind === 'multi_analysis' ? analysis.analyses.map(({ node }) => node) : [analysis]
  return nodes.flatMap(({ target }) => target ?? [])
}
