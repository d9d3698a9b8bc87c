import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { ALL_FUNCTIONS, functionNamed } from '../../../services/query/language/sql/functions.ts'
import { never, openTestWarehouse, WIDE_LIMITS } from '../stored-events.ts'

/** What would tell of the server, wait, fail on purpose, read something else, or take the name of another function. */
const NEVER =
  /dict|file|url\(|sleep|throw|setting|macro|host|server|version|uptime|user$|database|hastable|hascolumn|joinget|model|catboost|introspect|address|demangle|symbol|rownumber|blocknumber|block_|runningdiff|state$|merge$|arrayReduce|initializeAggregation|^in$|scalar|encrypt|decrypt|connection|queryid|tcpport|flame|log_|currentRoles|nonConst|materialize|partitionId|zookeeper|^s3|remote/i

test('every function of the list is one of ClickHouse’s, under its own name, and none is of the kind that looks elsewhere', async () => {
  const { warehouse, close } = await openTestWarehouse()
  const { rows } = await warehouse.read({
    sql: 'SELECT name, case_insensitive, is_aggregate FROM system.functions',
    params: {},
    limits: WIDE_LIMITS,
    queryId: randomUUID(),
    signal: never,
  })
  await close()
  const exact = new Set(rows.map(([name]) => String(name)))
  const folded = new Set(
    rows.filter(([, isFolded]) => Number(isFolded) === 1).map(([name]) => String(name).toLowerCase()),
  )
  const unknown = ALL_FUNCTIONS.filter(({ name }) => !exact.has(name) && !folded.has(name.toLowerCase()))
  expect(unknown.map(({ name }) => name)).toEqual([])
  expect(ALL_FUNCTIONS.filter(({ name }) => NEVER.test(name)).map(({ name }) => name)).toEqual([])
  expect(ALL_FUNCTIONS.length).toBeGreaterThan(300)
})

test('combinators go on aggregates of the list alone, and never make states', () => {
  expect(functionNamed('SUMIF')?.name).toBe('sumIf')
  expect(functionNamed('quantilearrayif')?.name).toBe('quantileArrayIf')
  for (const name of [
    'sumState',
    'sumMerge',
    'sumForEach',
    'sumMap',
    'absIf',
    'sleepIf',
    'dictGetOrNull',
    '__proto__',
    'constructor',
  ]) {
    expect(functionNamed(name), name).toBeUndefined()
  }
})
