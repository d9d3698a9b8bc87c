/**
 * The functions that a caller may use; there are no others. None reads anything but its arguments: no files, dictionaries,
 * other tables, settings, nor what the server is called; none waits, and none takes the name of a function or of a type.
 */
export type FunctionKind = 'plain' | 'aggregate' | 'window' | 'higher'

export interface SqlFunction {
  readonly kind: FunctionKind
  /** ClickHouse's name, combinators included. */
  readonly name: string
  /** Takes parameters before its arguments: `quantile(0.9)(x)`. */
  readonly isParametric: boolean
  readonly isTime: boolean
}

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

const TIMES = words(`
  now today yesterday toDate toDate32 toDateTime toDateTime64 toStartOfYear toStartOfQuarter toStartOfMonth toStartOfWeek toStartOfDay
  toStartOfHour toStartOfMinute toStartOfSecond toStartOfFiveMinutes toStartOfTenMinutes toStartOfFifteenMinutes toStartOfISOYear
  toStartOfInterval toMonday toLastDayOfMonth date_trunc dateTrunc addYears addQuarters addMonths addWeeks addDays addHours addMinutes
  addSeconds subtractYears subtractQuarters subtractMonths subtractWeeks subtractDays subtractHours subtractMinutes
  subtractSeconds toTimeZone parseDateTimeBestEffort parseDateTimeBestEffortOrNull parseDateTimeBestEffortOrZero
  parseDateTime64BestEffort parseDateTime64BestEffortOrNull fromUnixTimestamp fromUnixTimestamp64Milli fromUnixTimestamp64Micro
  fromUnixTimestamp64Nano makeDate makeDateTime`)

const PLAIN = words(`
  abs ceil ceiling floor round roundBankers trunc truncate sign sqrt cbrt exp exp2 exp10 log ln log2 log10 log1p pow power sin cos
  tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh degrees radians pi e hypot erf erfc gcd lcm intDiv intDivOrZero modulo
  moduloOrZero positiveModulo plus minus multiply divide negate greatest least bitAnd bitOr bitXor bitNot bitShiftLeft bitShiftRight bitCount
  bitTest isNaN isFinite isInfinite ifNotFinite width_bucket roundDuration roundAge roundDown factorial
  length lengthUTF8 char_length character_length empty notEmpty lower upper lcase ucase lowerUTF8 upperUTF8 initcap initcapUTF8 reverse
  reverseUTF8 concat concatWithSeparator concat_ws substring substr mid substringUTF8 substringIndex left right leftUTF8 rightUTF8 trim
  ltrim rtrim trimLeft trimRight trimBoth startsWith endsWith startsWithUTF8 endsWithUTF8 position positionUTF8
  positionCaseInsensitive positionCaseInsensitiveUTF8 locate countSubstrings countSubstringsCaseInsensitive like notLike ilike
  notILike match extract extractAll extractAllGroups extractGroups regexpExtract countMatches replace replaceOne replaceAll replaceRegexpOne
  replaceRegexpAll splitByChar splitByString splitByRegexp splitByWhitespace splitByNonAlpha alphaTokens ngrams tokens arrayStringConcat
  format toValidUTF8 isValidUTF8 ascii base64Encode base64Decode tryBase64Decode hex unhex encodeURLComponent
  decodeURLComponent domain domainWithoutWWW topLevelDomain cutToFirstSignificantSubdomain firstSignificantSubdomain protocol port path pathFull
  queryString fragment cutQueryString cutFragment extractURLParameter extractURLParameters extractURLParameterNames cutURLParameter
  normalizeUTF8NFC soundex levenshteinDistance editDistance damerauLevenshteinDistance jaroSimilarity jaroWinklerSimilarity
  toYear toQuarter toMonth toWeek toISOWeek toISOYear toYearWeek toDayOfMonth toDayOfWeek toDayOfYear toHour toMinute toSecond toMillisecond
  toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss toUnixTimestamp toUnixTimestamp64Milli toUnixTimestamp64Micro toUnixTimestamp64Nano dateDiff date_diff
  age formatDateTime dateName monthName year month day hour minute second quarter dayOfWeek dayOfMonth dayOfYear
  if multiIf ifNull nullIf coalesce assumeNotNull toNullable isNull isNotNull isZeroOrNull equals notEquals less greater lessOrEquals
  greaterOrEquals and or not xor transform
  toString toInt8 toInt16 toInt32 toInt64 toUInt8 toUInt16 toUInt32 toUInt64 toFloat32 toFloat64 toBool toInt32OrNull toInt64OrNull
  toInt64OrZero toUInt64OrNull toUInt64OrZero toFloat64OrNull toFloat64OrZero toUUIDOrNull toDateOrNull toDateTimeOrNull toDateTime64OrNull
  toTypeName
  array arrayElement arrayConcat arrayPushBack arrayPushFront arrayPopBack arrayPopFront arraySlice arrayReverse arrayDistinct arrayUniq
  arrayCompact arrayFlatten arrayIntersect arrayUnion arrayExcept arrayJoin arrayZip arrayEnumerate arrayEnumerateUniq arrayDifference arrayCumSum
  arrayProduct has hasAny hasAll hasSubstr indexOf countEqual arrayResize emptyArrayString tuple tupleElement
  JSONHas JSONLength JSONType JSONExtractString JSONExtractInt JSONExtractUInt JSONExtractFloat JSONExtractBool JSONExtractRaw
  JSONExtractArrayRaw JSONExtractKeys JSONExtractKeysAndValuesRaw isValidJSON toJSONString simpleJSONHas JSON_VALUE JSON_EXISTS JSON_QUERY
  cityHash64 farmHash64 sipHash64 xxHash64 xxHash32 murmurHash3_64 halfMD5 MD5 SHA1 SHA256 SHA512 CRC32
  greatCircleDistance geoDistance geohashEncode isIPv4String isIPv6String IPv4StringToNumOrNull`)

const HIGHER = words(`
  arrayMap arrayFilter arrayExists arrayAll arrayCount arrayFirst arrayFirstOrNull arrayLast arrayLastOrNull arrayFirstIndex arrayLastIndex
  arraySum arrayAvg arrayMin arrayMax arraySort arrayReverseSort arrayFill arrayReverseFill arraySplit arrayReverseSplit`)

const AGGREGATES = words(`
  count sum avg min max any anyLast any_value first_value last_value sumKahan sumWithOverflow avgWeighted argMin argMax uniq
  uniqExact uniqCombined uniqCombined64 uniqHLL12 median medianExact medianTDigest stddevPop stddevSamp
  stddev_pop stddev_samp stddev varPop varSamp var_pop var_samp covarPop covarSamp corr skewPop skewSamp
  kurtPop kurtSamp groupArray groupUniqArray groupBitAnd groupBitOr groupBitXor entropy boundingRatio simpleLinearRegression
  rankCorr deltaSum`)

const PARAMETRIC = words(`
  quantile quantiles quantileExact quantilesExact quantileExactLow quantileExactHigh quantileExactInclusive quantilesExactInclusive
  quantileExactExclusive quantilesExactExclusive quantileTDigest quantilesTDigest quantileDD quantileDeterministic topK topKWeighted
  histogram windowFunnel retention groupArraySorted groupArrayLast groupConcat sequenceMatch sequenceCount`)

const WINDOW = words(`
  row_number rank dense_rank percent_rank cume_dist ntile lag lead lagInFrame leadInFrame nth_value`)

/** In ClickHouse's order: what is nearest to the function's name is applied last. */
const COMBINATOR = /^(.+?)((?:OrNull|OrDefault|Distinct|Array|If)+)$/i
const COMBINATORS: Readonly<Record<string, string>> = {
  ornull: 'OrNull', ordefault: 'OrDefault', distinct: 'Distinct', array: 'Array', if: 'If',
} // biome-ignore format: a table

const TABLE = new Map<string, SqlFunction>()
const add = (names: readonly string[], kind: FunctionKind, isParametric = false, isTime = false): void => {
  for (const name of names) TABLE.set(name.toLowerCase(), { kind, name, isParametric, isTime })
}
add(TIMES, 'plain', false, true)
add(PLAIN, 'plain')
add(HIGHER, 'higher')
add(AGGREGATES, 'aggregate')
add(PARAMETRIC, 'aggregate', true)
for (const name of ['groupArray', 'groupUniqArray']) add([name], 'aggregate', true)
add(WINDOW, 'window')

/** Whatever capitals it is written with. Undefined when it is not one of ours. */
export function functionNamed(name: string): SqlFunction | undefined {
  const known = TABLE.get(name.toLowerCase())
  if (known !== undefined) return known
  const [, base = '', suffixes = ''] = COMBINATOR.exec(name) ?? []
  const aggregate = TABLE.get(base.toLowerCase())
  if (aggregate?.kind !== 'aggregate') return undefined
  const combinators = suffixes.match(/OrNull|OrDefault|Distinct|Array|If/gi) ?? []
  if (combinators.length > 3) return undefined
  return { ...aggregate, name: aggregate.name + combinators.map((word) => COMBINATORS[word.toLowerCase()]).join('') }
}

/** With a combinator put on, before what is there already. */
export const combined = ({ name }: SqlFunction, combinator: 'Distinct' | 'If'): string => `${name}${combinator}`

export const ALL_FUNCTIONS: readonly SqlFunction[] = [...TABLE.values()]

const INTERVALS: Readonly<Record<string, string>> = {
  MILLISECOND: 'toIntervalMillisecond', SECOND: 'toIntervalSecond', MINUTE: 'toIntervalMinute', HOUR: 'toIntervalHour',
  DAY: 'toIntervalDay', WEEK: 'toIntervalWeek', MONTH: 'toIntervalMonth', QUARTER: 'toIntervalQuarter', YEAR: 'toIntervalYear',
} // biome-ignore format: a table

/** `DAY`, `days`. */
export function intervalNamed(unit: string): string | undefined {
  const name = unit.toUpperCase().replace(/S$/, '')
  return Object.hasOwn(INTERVALS, name) ? INTERVALS[name] : undefined
}
