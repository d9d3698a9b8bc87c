import { describe, expect, test } from 'vitest'
import { requireDefinition, requireResult, runGrant } from '../../../services/query/saved/access.ts'
import { hasCode } from '../../../services/shared/errors.ts'
import { type Grant, grantOf, masterOnly, NO_OPTIONS } from '../../../services/shared/registry/grant.ts'
import type { KeyKind, KeyOptions, Permission } from '../../../services/shared/registry/model.ts'

const TED = [{ property_name: 'user', operator: 'eq', property_value: 'ted' }]
const BOB = [{ property_name: 'user', operator: 'eq', property_value: 'bob' }]

function key(kind: KeyKind, permitted: readonly Permission[] = [], options: Partial<KeyOptions> = {}): Grant {
  return grantOf(
    {
      id: 'k',
      projectId: 'p',
      kind,
      secret: 'F'.repeat(64),
      name: 'k',
      isActive: true,
      permitted,
      options: { ...NO_OPTIONS, ...options },
      createdAtMs: 0,
    },
    () => [],
  )
}
const access = (permitted: readonly Permission[], options: Partial<KeyOptions> = {}) =>
  key('access', permitted, options)

type Verdict = 'yes' | 'admin only' | 'no'
function verdict(check: () => void): Verdict {
  try {
    check()
    return 'yes'
  } catch (error) {
    if (hasCode(error, 'AdminOnlyEndpointError')) return 'admin only'
    if (hasCode(error, 'KeyNotAuthorizedError')) return 'no'
    throw error
  }
}

const ALL: readonly Permission[] = [
  'writes',
  'queries',
  'saved_queries',
  'cached_queries',
  'datasets',
  'schema',
  'query_definition',
]

describe('7.7 who may call what of saved queries', () => {
  test.each<[string, Grant, Verdict, Verdict, Verdict, Verdict]>([
    // manage, definition, result of a plain one, result of a cached one
    ['master', key('master'), 'yes', 'yes', 'yes', 'yes'],
    ['read', key('read'), 'admin only', 'admin only', 'yes', 'yes'],
    ['write', key('write'), 'admin only', 'admin only', 'no', 'no'],
    ['access: nothing', access([]), 'admin only', 'no', 'no', 'no'],
    ['access: saved_queries', access(['saved_queries']), 'admin only', 'no', 'yes', 'no'],
    ['access: cached_queries', access(['cached_queries']), 'admin only', 'no', 'no', 'yes'],
    ['access: query_definition', access(['query_definition']), 'admin only', 'yes', 'no', 'no'],
    ['access: queries', access(['queries']), 'admin only', 'no', 'no', 'no'],
    ['access: all', access(ALL), 'admin only', 'yes', 'yes', 'yes'],
  ])('%s', (_name, grant, manage, definition, plain, cached) => {
    expect([
      verdict(() => masterOnly(grant)),
      verdict(() => requireDefinition(grant, 'q', 0)),
      verdict(() => requireResult(grant, 'q', 0)),
      verdict(() => requireResult(grant, 'q', 14_400)),
    ]).toEqual([manage, definition, plain, cached])
  })
})

describe('7.4, 7.5 names', () => {
  test.each<[string, Partial<KeyOptions>, Verdict, Verdict]>([
    // of the plain query q, of the cached query q
    ['no options', {}, 'yes', 'yes'],
    ['allowed names it', { saved_queries: { allowed: ['q'] } }, 'yes', 'yes'],
    ['allowed names another', { saved_queries: { allowed: ['other'] } }, 'no', 'yes'],
    ['an empty allowed is nothing', { saved_queries: { allowed: [] }, cached_queries: { allowed: [] } }, 'no', 'no'],
    ['a null allowed is everything', { saved_queries: { allowed: null } }, 'yes', 'yes'],
    ['blocked', { saved_queries: { blocked: ['q'] } }, 'no', 'yes'],
    ['blocked beats allowed', { saved_queries: { allowed: ['q'], blocked: ['q'] } }, 'no', 'yes'],
    ['a cached one is the other group’s', { cached_queries: { allowed: ['q'], blocked: ['q'] } }, 'yes', 'no'],
    ['listed under both', { saved_queries: { allowed: ['q'] }, cached_queries: { allowed: ['q'] } }, 'yes', 'yes'],
    ['what is no list allows nothing', { saved_queries: { allowed: 'q' } }, 'no', 'yes'],
  ])('%s', (_name, options, plain, cached) => {
    const grant = access(['saved_queries', 'cached_queries', 'query_definition'], options)
    const verdicts = (check: typeof requireResult) => [
      verdict(() => check(grant, 'q', 0)),
      verdict(() => check(grant, 'q', 86_400)),
    ]
    expect(verdicts(requireResult)).toEqual([plain, cached])
    expect(verdicts(requireDefinition)).toEqual([plain, cached])
  })

  test('whether a query exists is told only about names that the key may have', () => {
    const grant = access(['saved_queries'], { saved_queries: { allowed: ['mine'] } })
    expect(verdict(() => requireResult(grant, 'theirs', undefined))).toBe('no')
    expect(verdict(() => requireResult(grant, 'mine', undefined))).toBe('yes')
  })
})

describe('which rows a saved query sees under a key', () => {
  test.each<[string, Grant, 'all' | readonly string[]]>([
    ['master', key('master'), 'all'],
    ['read', key('read'), 'all'],
    ['no filters', access(ALL), 'all'],
    ['its own filters', access(ALL, { saved_queries: { filters: TED } }), ['ted']],
    ['those of queries when it says nothing', access(ALL, { queries: { filters: BOB } }), ['bob']],
    ['the same with null', access(ALL, { queries: { filters: BOB }, saved_queries: { filters: null } }), ['bob']],
    ['its own instead', access(ALL, { queries: { filters: BOB }, saved_queries: { filters: TED } }), ['ted']],
    ['none when it says none', access(ALL, { queries: { filters: BOB }, saved_queries: { filters: [] } }), 'all'],
    ['also where only cached ones are permitted', access(['cached_queries'], { queries: { filters: BOB } }), ['bob']],
  ])('%s', (_name, given, expected) => {
    const { grant, seesAll } = runGrant(given)
    expect(seesAll).toBe(expected === 'all')
    const values = grant.rowFilters.map((filter) => (filter.kind === 'equals' ? filter.value : filter.kind))
    expect(values).toEqual(expected === 'all' ? [] : expected)
  })
})
