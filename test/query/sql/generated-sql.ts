import * as fc from 'fast-check'

/** Columns that any event may have, of every type, and not have. */
const COLUMN = [
  'n', 's', 'mixed', 'tags', 'k', 'row', 'u.id', 'u.plan.name', 'u', "`it's`", '`back``tick`', '`quo"te`', '`^caret`', '`list[]`',
  '`é☃😀`', 'timestamp', 'keen.timestamp', 'keen.created_at', 'keen.id', 'missing', '`__proto__`', 'e', 'keen.event',
] as const // biome-ignore format: a list

const column = fc.constantFrom(...COLUMN)
const collection = fc.constantFrom('things', 'others')
const moment = fc.integer({ min: 1, max: 28 }).map((day) => `'2026-01-${String(day).padStart(2, '0')}'`)
const small = fc.integer({ min: 0, max: 3 })

/** Each gives rows of two columns, `row` (a text) and `k` (a number), so that they stand in each other. */
const { rows } = fc.letrec<{ rows: string; condition: string; table: string }>((tie) => {
  const condition = fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    small.map((k) => `k = ${k}`),
    small.map((k) => `k IN (0, ${k})`),
    column.map((name) => `${name} IS NOT NULL`),
    column.map((name) => `toString(${name}) != 'x'`),
    fc.constantFrom('mixed', 'n', 's').map((name) => `TRY_CAST(${name}::String AS Float64) >= 1`),
    fc.constantFrom('mixed', 'n', 's', 'missing').map((name) => `${name}::String LIKE '%x%'`),
    fc.tuple(fc.constantFrom('<', '<=', '>', '>=', '='), moment).map(([sign, at]) => `timestamp ${sign} ${at}`),
    fc.tuple(moment, moment).map(([from, to]) => `timestamp BETWEEN ${from} AND ${to}`),
    fc.constant("row != '' OR 1 = 1"),
    fc.constant('intDiv(10, k + 1) >= 0'),
    tie('rows').map((sql) => `row IN (SELECT q.row FROM (${sql}) AS q)`),
    tie('rows').map((sql) => `k NOT IN (SELECT ifNull(q.k, 99) FROM (${sql}) AS q)`),
    tie('rows').map((sql) => `EXISTS (${sql})`),
    tie('rows').map((sql) => `k < (SELECT max(q.k) FROM (${sql}) AS q)`),
    fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => `(${a}) AND (${b})`),
    fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => `((${a}) OR NOT (${b}))`),
  )
  const plain = fc
    .tuple(collection, fc.option(tie('condition'), { nil: undefined }), fc.boolean())
    .map(
      ([name, where, isDistinct]) =>
        `SELECT ${isDistinct ? 'DISTINCT ' : ''}row, k FROM ${name}${where === undefined ? '' : ` WHERE ${where}`}`,
    )
  const grouped = fc
    .tuple(
      collection,
      tie('condition'),
      small,
      fc.constantFrom(
        'max(row)',
        'min(row)',
        'argMax(row, timestamp)',
        "arrayStringConcat(arraySort(groupArray(row)), ',')",
      ),
    )
    .map(
      ([name, where, n, pick]) =>
        `SELECT ${pick} AS row, k FROM ${name} WHERE ${where} GROUP BY k HAVING count() > ${n}`,
    )
  const joined = fc
    .tuple(
      collection,
      tie('rows'),
      fc.constantFrom('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', 'LEFT SEMI JOIN', 'LEFT ANTI JOIN'),
      fc.constantFrom('ON a.k = b.k', 'ON a.row = b.row', 'ON a.k = b.k AND a.row = b.row', 'USING (k)'),
      fc.constantFrom('a.row', 'coalesce(a.row, b.row)', "concat(coalesce(a.row, ''), '+', coalesce(b.row, ''))"),
    )
    .map(([name, sql, join, on, picked]) => {
      // SEMI and ANTI have no right side to show.
      const row = /SEMI|ANTI/.test(join) ? 'a.row' : picked
      return `SELECT ${row} AS row, a.k AS k FROM ${name} AS a ${join} (${sql}) AS b ${on}`
    })
  const windowed = fc
    .tuple(
      collection,
      fc.constantFrom(
        'count() OVER (PARTITION BY k)',
        'rank() OVER (PARTITION BY k ORDER BY row)',
        'sum(k) OVER (ORDER BY row, keen.id)',
        'max(k) OVER ()',
      ),
    )
    .map(([name, over]) => `SELECT row, toInt64(${over}) AS k FROM ${name}`)
  const nested = fc
    .tuple(tie('rows'), small)
    .map(([sql, k]) => `SELECT x.row AS row, x.k + 1 AS k FROM (${sql}) AS x WHERE x.k >= ${k}`)
  const named = fc
    .tuple(tie('rows'), fc.constantFrom('c', 'things', 'others', 'events'))
    .map(
      ([sql, name]) =>
        `WITH ${name} AS (${sql}) SELECT y.row, y.k FROM ${name} AS y JOIN ${name} AS z ON y.row = z.row`,
    )
  const together = fc
    .tuple(tie('rows'), fc.constantFrom('UNION ALL', 'UNION', 'INTERSECT', 'EXCEPT'), tie('rows'))
    .map(([a, operator, b]) => `(${a}) ${operator} (${b})`)
  const cut = fc
    .tuple(tie('rows'), small)
    .map(([sql, n]) => `SELECT t.row, t.k FROM (${sql}) AS t ORDER BY row, k LIMIT ${n + 1}`)
  return {
    condition,
    table: collection,
    rows: fc.oneof({ depthSize: 'small' }, plain, grouped, windowed, joined, nested, named, together, cut),
  }
})

/** What is asked of the rows: themselves, or something made of them. */
const top = fc.oneof(
  { weight: 4, arbitrary: rows },
  {
    weight: 1,
    arbitrary: rows.map((sql) => `SELECT count(), uniqExact(q.row), sum(q.k), max(q.row) FROM (${sql}) AS q`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(collection, fc.uniqueArray(column, { minLength: 1, maxLength: 5 }))
      .map(([name, list]) => `SELECT ${list.join(', ')} FROM ${name}`),
  },
  { weight: 1, arbitrary: collection.map((name) => `SELECT * FROM ${name}`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(collection, column)
      .map(([name, key]) => `SELECT ${key}, count() AS total, arraySort(groupArray(row)) FROM ${name} GROUP BY ${key}`),
  },
)

export const sqlArbitrary = top
