/**
 * A filter after parsing: what an event must be like. One kind of node for each thing that can be asked; the operators of
 * the Keen API are spelled with these (`ne` is not(equals), `not_contains` is not(contains)).
 */
export type Scalar = string | number | boolean

export type Ordering = 'lt' | 'lte' | 'gt' | 'gte'

/** Where a value stands in an event. The three `keen.*` fields that Tributary sets are columns of their own. */
export type Property =
  | { readonly kind: 'property'; readonly name: string; readonly segments: readonly string[] }
  | { readonly kind: 'timestamp' | 'created_at' | 'id'; readonly name: string }

export type Filter =
  | { readonly kind: 'equals'; readonly property: Property; readonly value: Scalar }
  | { readonly kind: 'in'; readonly property: Property; readonly values: readonly Scalar[] }
  | {
      readonly kind: 'compare'
      readonly property: Property
      readonly ordering: Ordering
      readonly value: string | number
    }
  | { readonly kind: 'exists'; readonly property: Property }
  | { readonly kind: 'contains'; readonly property: Property; readonly value: string }
  /** RE2 syntax, found anywhere in the value, case-sensitive. */
  | { readonly kind: 'matches'; readonly property: Property; readonly pattern: string }
  | {
      readonly kind: 'within'
      readonly property: Property
      readonly longitude: number
      readonly latitude: number
      readonly radiusMiles: number
    }
  | { readonly kind: 'not'; readonly filter: Filter }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly Filter[] }

/** Every filter node below and including these, outer before inner. */
export function* walkFilters(filters: readonly Filter[]): Generator<Filter> {
  for (const filter of filters) {
    yield filter
    if (filter.kind === 'not') yield* walkFilters([filter.filter])
    else if (filter.kind === 'and' || filter.kind === 'or') yield* walkFilters(filter.filters)
  }
}
