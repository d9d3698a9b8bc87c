import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SeenTypesIn } from '../../services/query/language/compile.ts'
import { parseQuery } from '../../services/query/language/parse.ts'
import { createWithTypes } from '../../services/query/with-types.ts'
import type { ReadRequest } from '../../services/shared/warehouse/port.ts'
import { parseProperty } from '../../services/shared/filters/property.ts'
import { ask } from './ask.ts'
import { grantFor, hexId, never, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const timeframe = { start: '1970-01-01', end: '1970-01-02' }

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let count = 0
const put = async (collection: string, ...values: readonly unknown[]): Promise<void> =>
  store(
    opened.warehouse,
    values.map((v) => ({
      project: P,
      collection,
      timestampMs: count,
      createdAtMs: 0,
      id: hexId(count++),
      body: JSON.stringify({ v }),
    })),
  )
beforeAll(async () => {
  opened = await openTestWarehouse()
})
afterAll(async () => opened.close())

const question = (collection: string) =>
  parseQuery('count', { event_collection: collection, timeframe, group_by: 'v', filters: [] })
const told = (seen: SeenTypesIn | undefined, collection: string): readonly string[] | undefined => {
  const types = seen?.(collection)?.(parseProperty('v', 'v'))
  return types && [...types].toSorted()
}
const slowly = async <T>(value: T): Promise<T> => {
  await new Promise((resolve) => setTimeout(resolve, 30))
  return value
}

test('a question is asked with the types of before, and again when there are others by now', async () => {
  await put('c', 'x', 'y')
  const withTypes = createWithTypes(opened.warehouse)
  const asked: (readonly string[] | undefined)[] = []
  const answer = async (seen: SeenTypesIn | undefined) => {
    asked.push(told(seen, 'c'))
    return slowly(asked.length)
  }
  expect(await withTypes(question('c'), P, answer, never)).toBe(1)
  expect(await withTypes(question('c'), P, answer, never)).toBe(2)
  await put('c', 7)
  expect(await withTypes(question('c'), P, answer, never)).toBe(4)
  expect(asked).toEqual([['String'], ['String'], ['String'], ['Int64', 'String']])
})

test('a question that is answered at once is not burdened with types', async () => {
  await put('short', 'x')
  const withTypes = createWithTypes(opened.warehouse)
  const asked: (readonly string[] | undefined)[] = []
  const answer = async (seen: SeenTypesIn | undefined) => asked.push(told(seen, 'short'))
  await withTypes(question('short'), P, answer, never)
  await put('short', 'y')
  await withTypes(question('short'), P, answer, never)
  expect(asked).toEqual([['String'], undefined])
})

test('the catalogue is read again when something may have changed it, and not before', async () => {
  await put('still', 'x')
  let reads = 0
  const counting = {
    ...opened.warehouse,
    get changes() {
      return opened.warehouse.changes
    },
    read: async (request: ReadRequest) => {
      reads += 1
      return opened.warehouse.read(request)
    },
  }
  const withTypes = createWithTypes(counting)
  const asked: (readonly string[] | undefined)[] = []
  const answer = async (seen: SeenTypesIn | undefined) => slowly(asked.push(told(seen, 'still')))
  for (let i = 0; i < 3; i += 1) await withTypes(question('still'), P, answer, never)
  expect(reads).toBe(1)
  await put('still', 7)
  await withTypes(question('still'), P, answer, never)
  await withTypes(question('still'), P, answer, never)
  expect(reads).toBe(2)
  expect(asked).toEqual([['String'], ['String'], ['String'], ['String'], ['Int64', 'String'], ['Int64', 'String']])
})

/** The column keeps so many types apart, and the rest of them in one place. */
test('types beyond those that the column keeps apart are known too', async () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
  for (let depth = 1; depth <= 45; depth++) await put('many', nested(depth))
  await put('many', 'x', 5, true, 'x', ['y', 'x'])
  const fields = { event_collection: 'many', timeframe, target_property: 'v' }
  for (const isTyped of [true, false]) {
    const grant = grantFor(P)
    const unique = await ask(opened.warehouse, grant, 'select_unique', fields, 0, { isTyped })
    expect(unique).toEqual(expect.arrayContaining(['x', 'y', 5, true]))
    const filters = [{ property_name: 'v', operator: 'eq', property_value: 'x' }]
    expect(await ask(opened.warehouse, grant, 'count', { ...fields, filters }, 0, { isTyped })).toBe(3)
  }
})
