/**
 * The functions that may be called, by their names in the warehouse. All of them compute a value of their arguments and of
 * nothing else: none reads a file, a dictionary, a setting, another table or the server's state, waits, or fails on purpose.
 */
const AGGREGATES = `
  count sum avg min max any anyLast argMin argMax uniq uniqExact uniqCombined uniqHLL12 median quantile quantileExact quantileTDigest
  quantiles stddevPop stddevSamp varPop varSamp covarPop covarSamp corr skewPop skewSamp kurtPop kurtSamp groupArray groupUniqArray topK
  groupBitAnd groupBitOr groupBitXor simpleLinearRegression entropy sumKahan
`
/** Take parameters in brackets of their own, which are numbers. */
const PARAMETRIC = new Set([
  'quantile',
  'quantileExact',
  'quantileTDigest',
  'quantiles',
  'topK',
  'groupArray',
  'groupUniqArray',
])
const WINDOW = `row_number rank dense_rank percent_rank lag lead first_value last_value nth_value ntile`
const SCALARS = `
  abs ceil floor round trunc sqrt cbrt exp exp2 exp10 ln log log2 log10 pow power sin cos tan asin acos atan atan2 sinh cosh tanh degrees radians pi sign
  greatest least intDiv modulo isFinite isNaN isInfinite bitAnd bitOr bitXor bitNot bitShiftLeft bitShiftRight
  length lengthUTF8 lower upper lowerUTF8 upperUTF8 reverse reverseUTF8 concat substring substringUTF8 left right leftUTF8 rightUTF8 trim ltrim rtrim
  replaceAll replaceOne replaceRegexpAll replaceRegexpOne position positionCaseInsensitive positionUTF8 startsWith endsWith match extract extractAll
  splitByChar splitByString splitByRegexp arrayStringConcat leftPad rightPad empty notEmpty like ilike notLike countSubstrings
  toYear toQuarter toMonth toDayOfMonth toDayOfWeek toDayOfYear toHour toMinute toSecond toISOWeek toISOYear toWeek toUnixTimestamp toUnixTimestamp64Milli
  fromUnixTimestamp64Milli toStartOfYear toStartOfQuarter toStartOfMonth toStartOfWeek toMonday toStartOfDay toStartOfHour toStartOfMinute
  toStartOfFifteenMinutes toStartOfInterval dateTrunc dateDiff dateAdd dateSub addDays addHours addMinutes addMonths addWeeks addYears addSeconds
  subtractDays subtractHours subtractMinutes subtractMonths subtractWeeks subtractYears subtractSeconds formatDateTime now today yesterday toDate toDateTime toTimeZone
  parseDateTimeBestEffortOrNull parseDateTime64BestEffortOrNull
  if multiIf coalesce ifNull nullIf isNull isNotNull assumeNotNull toInt64 toFloat64 toString toInt64OrNull toFloat64OrNull toUInt64OrNull
  array tuple tupleElement arrayElement has hasAll hasAny indexOf arrayConcat arrayDistinct arraySort arrayReverseSort arrayReverse arraySlice arrayUniq
  arraySum arrayAvg arrayMin arrayMax arrayCount arrayMap arrayFilter arrayExists arrayAll arrayFirst arrayLast arrayEnumerate arrayCumSum arrayZip
  arrayCompact arrayFlatten arrayIntersect arrayJoin range
  cityHash64 sipHash64 xxHash64 md5 sha256 hex lowerHex
  domain domainWithoutWWW topLevelDomain protocol path queryString fragment cutQueryString extractURLParameter decodeURLComponent
  JSONExtractString JSONExtractInt JSONExtractFloat JSONExtractBool JSONExtractRaw JSONHas JSONLength
  greatCircleDistance geoDistance IPv4StringToNumOrNull
`

const named = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .split(/\s+/)
      .filter((name) => name !== '')
      .map((name) => [name.toLowerCase(), name]),
  )

const AGGREGATE_NAMES = named(AGGREGATES)
const WINDOW_NAMES = named(WINDOW)
const SCALAR_NAMES = new Map([
  ...named(SCALARS),
  ['trunc', 'trunc'],
  ['md5', 'MD5'],
  ['sha256', 'SHA256'],
  ['len', 'length'],
])
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['substr', 'substring'],
  ['mod', 'modulo'],
  ['date_trunc', 'dateTrunc'],
  ['date_diff', 'dateDiff'],
  ['char_length', 'lengthUTF8'],
  ['stddev', 'stddevPop'],
  ['variance', 'varPop'],
])

export interface KnownFunction {
  /** As the warehouse spells it. */
  readonly name: string
  readonly kind: 'aggregate' | 'window' | 'scalar'
  readonly isParametric: boolean
}

/** By a caller's spelling, in any case; undefined for what may not be called. Aggregates may end in -If. */
export function knownFunction(spelling: string): KnownFunction | undefined {
  const lower = spelling.toLowerCase()
  const name = ALIASES.get(lower)?.toLowerCase() ?? lower
  const aggregate = AGGREGATE_NAMES.get(name)
  if (aggregate !== undefined) return { name: aggregate, kind: 'aggregate', isParametric: PARAMETRIC.has(aggregate) }
  const base = name.endsWith('if') ? AGGREGATE_NAMES.get(name.slice(0, -2)) : undefined
  if (base !== undefined) return { name: `${base}If`, kind: 'aggregate', isParametric: PARAMETRIC.has(base) }
  const window = WINDOW_NAMES.get(name)
  if (window !== undefined) return { name: window, kind: 'window', isParametric: false }
  const scalar = SCALAR_NAMES.get(name)
  return scalar === undefined ? undefined : { name: scalar, kind: 'scalar', isParametric: false }
}

/** Types that a value may be cast to, or a parameter be of, by their names in any case. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['string', 'String'],
  ['text', 'String'],
  ['varchar', 'String'],
  ['float64', 'Float64'],
  ['float', 'Float64'],
  ['double', 'Float64'],
  ['int64', 'Int64'],
  ['int', 'Int64'],
  ['integer', 'Int64'],
  ['bigint', 'Int64'],
  ['bool', 'Bool'],
  ['boolean', 'Bool'],
  ['date', 'Date32'],
  ['datetime', "DateTime64(3, 'UTC')"],
  ['datetime64', "DateTime64(3, 'UTC')"],
  ['timestamp', "DateTime64(3, 'UTC')"],
])

export const knownType = (spelling: string): string | undefined => TYPES.get(spelling.toLowerCase())

export const INTERVAL_UNITS: ReadonlySet<string> = new Set([
  'SECOND',
  'MINUTE',
  'HOUR',
  'DAY',
  'WEEK',
  'MONTH',
  'QUARTER',
  'YEAR',
])
