import { AppError } from '../../shared/errors.ts'
import { AGGREGATES } from './aggregates.ts'
import { type Fields, parseAggregate } from './parse-aggregate.ts'
import type { AggregateKind, GroupNode, MultiNode } from './tree.ts'

const ANALYSES_MAX = 100
const LABEL_CHARS_MAX = 256

/** `analyses`, an object by label. Throws AppErrors whose messages name the label. */
export function parseMultiAnalysis(fields: Fields, groupBy: readonly GroupNode[]): MultiNode {
  const value = fields['analyses']
  if (value === undefined || value === null || value === '') {
    throw new AppError('MissingRequiredRequestFieldError', 'analyses is required.')
  }
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('analyses must be an object of labels')
  const entries = Object.entries(value)
  if (entries.length === 0 || entries.length > ANALYSES_MAX) {
    throw invalid(`analyses must have 1 to ${ANALYSES_MAX} labels`)
  }
  const grouped = new Set(groupBy.map((group) => group.property.name))
  return {
    kind: 'multi_analysis',
    analyses: entries.map(([label, analysis]) => {
      if (label === '' || label.length > LABEL_CHARS_MAX) {
        throw invalid(`a label of analyses must have 1 to ${LABEL_CHARS_MAX} characters`)
      }
      // A row has its groups and its results side by side.
      if (grouped.has(label)) throw invalid(`analyses.${label} is also a property of group_by: choose another label`)
      return { label, node: parseOne(analysis, `analyses.${label}`) }
    }),
  }
}

function parseOne(value: unknown, field: string) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${field} must be an object`)
  const fields = value as Fields
  const type = fields['analysis_type']
  if (typeof type !== 'string' || !Object.hasOwn(AGGREGATES, type)) {
    throw invalid(`${field}.analysis_type must be one of ${Object.keys(AGGREGATES).join(', ')}`)
  }
  return parseAggregate(type as AggregateKind, fields, `${field}.`)
}

const invalid = (problem: string): AppError => new AppError('InvalidRequestFieldError', `${problem}.`)
