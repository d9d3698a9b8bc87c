import { randomUUID } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReadLimits, Warehouse } from '../../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../services/shared/warehouse/row-binary.ts'

export const WIDE: ReadLimits = {
  executionS: 60,
  rowsToRead: 0,
  memoryBytes: 2_000_000_000,
  resultRows: 10_000_000,
  resultBytes: 2_000_000_000,
}

const never = new AbortController().signal

/** Holds one connection to the port's promise. `open` may be called again after the warehouse was closed. */
export function warehouseContract(name: string, open: () => Promise<Warehouse>): void {
  describe(name, () => {
    let warehouse: Warehouse
    beforeAll(async () => {
      warehouse = await open()
    })
    afterAll(async () => {
      await warehouse.close()
    })

    const ask = async (sql: string, params: Record<string, unknown> = {}, limits: Partial<ReadLimits> = {}) =>
      warehouse.read({ sql, params, limits: { ...WIDE, ...limits }, queryId: randomUUID(), signal: never })

    const newTable = async (): Promise<string> => {
      const table = `t_${randomUUID().replaceAll('-', '')}`
      await warehouse.command(
        `CREATE TABLE ${table} (at DateTime64(3, 'UTC'), id UUID, body String, properties JSON(max_dynamic_paths = 64))
         ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY at SETTINGS non_replicated_deduplication_window = 100`,
      )
      return table
    }

    const insert = async (
      table: string,
      rows: readonly (readonly [ms: number, json: string])[],
      token: string = randomUUID(),
    ) => {
      const writer = new RowBinaryWriter(0)
      for (const [ms, json] of rows) {
        writer.millis(ms)
        writer.uuid(Buffer.from('0192f0c0a1b27c3d8e4f506172839405', 'hex'))
        writer.string(json)
        writer.string(json)
      }
      const request = { columns: ['at', 'id', 'body', 'properties'], rowBinary: writer.finish(), rowCount: rows.length }
      await warehouse.insert({ table, ...request, token, deadlineMs: performance.now() + 60_000, signal: never })
    }

    const T0 = Date.UTC(2026, 0, 15)
    const DAY = 86_400_000
    const months = Array.from({ length: 24 }, (_, month): [number, string] => [T0 + month * 31 * DAY, '{"n":1}'])

    test('rows come back as they were sent: times, ids, quotes, line breaks, empty lines and every byte of a string', async () => {
      const table = await newTable()
      const json = JSON.stringify({ s: `it's "quoted" \\ and\n\n;\n\t broken é漢😀 \u0001`, n: 1.5, t: true })
      await insert(table, [[T0 + 1, json]])
      const { rows, columns } = await ask(
        `SELECT at, id, body, properties.s, toString(properties.n) AS n FROM ${table}`,
      )
      const s = (JSON.parse(json) as { s: string }).s
      expect(rows).toEqual([['2026-01-15T00:00:00.001Z', '0192f0c0-a1b2-7c3d-8e4f-506172839405', json, s, '1.5']])
      expect(columns[0]).toEqual({ name: 'at', type: "DateTime64(3, 'UTC')" })
    })

    test('a token inserted twice is stored once, also when its rows span two years of months', async () => {
      const table = await newTable()
      await insert(table, months, 'epoch/0/0-23/0')
      await insert(table, months, 'epoch/0/0-23/0')
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[24]])
      await insert(table, months, 'epoch/0/24-47/0')
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[48]])
    })

    test('two inserts of one token at the same time store it once', async () => {
      const table = await newTable()
      await Promise.all([insert(table, months, 'same'), insert(table, months, 'same'), insert(table, months, 'same')])
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[24]])
    })

    test('a token does not stick: the same rows under another token, or after another table, are stored', async () => {
      const [one, two] = [await newTable(), await newTable()]
      await insert(one, months.slice(0, 1), 'a')
      await insert(two, months.slice(0, 1), 'a')
      await insert(one, months.slice(0, 1), 'b')
      expect((await ask(`SELECT (SELECT count() FROM ${one}), (SELECT count() FROM ${two})`)).rows).toEqual([[2, 1]])
    })

    test('a token survives closing and opening the warehouse', async () => {
      const table = await newTable()
      await insert(table, months, 'kept')
      await warehouse.close()
      warehouse = await open()
      await insert(table, months, 'kept')
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[24]])
    })

    test('an insert of fifty thousand rows is one part a month, so its token covers all of it', async () => {
      const table = await newTable()
      await insert(
        table,
        Array.from({ length: 50_000 }, (_, n): [number, string] => [T0 + n, `{"n":${n}}`]),
      )
      const sql = `SELECT count(), max(level) FROM system.parts WHERE table = {table:String} AND active`
      expect((await ask(sql, { table })).rows).toEqual([[1, 0]])
    })

    test('strings that look like dates, numbers or booleans stay the strings they were', async () => {
      const table = await newTable()
      const sent = {
        a: '2026-01-01T00:00:00Z',
        b: '2026-01-01',
        c: '2026-01-01 00:00:00.5',
        d: '17',
        e: 'true',
        f: ' 1e5',
      }
      await insert(table, [[T0, JSON.stringify(sent)]])
      expect((await ask(`SELECT properties FROM ${table}`)).rows).toEqual([[sent]])
    })

    test('integers up to 64 bits stay exact: as numbers where a double holds them, else as strings', async () => {
      const table = await newTable()
      await insert(table, [[T0, '{"a":9007199254740993,"b":18446744073709551615,"c":-9223372036854775808,"d":5}']])
      const sql = `SELECT properties.a, properties.b, properties.c, properties.d, properties FROM ${table}`
      const [a, b, c] = ['9007199254740993', '18446744073709551615', '-9223372036854775808']
      expect((await ask(sql)).rows).toEqual([[a, b, c, 5, { a, b, c, d: 5 }]])
    })

    test('every number of a property counts, whether it was written as an integer or not', async () => {
      const table = await newTable()
      await insert(table, [
        [T0, '{"price":10}'],
        [T0, '{"price":2.5}'],
        [T0, '{"price":1.0}'],
        [T0, '{"price":"x"}'],
      ])
      const sql = `SELECT sum(toFloat64OrNull(toString(properties.price))) FROM ${table}`
      expect((await ask(sql)).rows).toEqual([[13.5]])
    })

    test.each([
      ['a number outside the range of a double', '{"a":1e400}'],
      ['a path given twice', '{"a":1,"a":2}'],
      ['a path that is a value and an object', '{"a.b":1,"a":{"b":2}}'],
      ['text that is not JSON', '{"a":'],
    ])('an insert with %s is rejected whole, by a code that says not to try again', async (_what, json) => {
      const table = await newTable()
      const rows: [number, string][] = [
        [T0, '{"good":1}'],
        [T0, json],
      ]
      await expect(insert(table, rows)).rejects.toMatchObject({ code: 'WAREHOUSE_REJECTED' })
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[0]])
    })

    test('an insert into a table that is not there may be tried again later', async () => {
      await expect(insert('missing_table', [[T0, '{}']])).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
    })

    test('an insert whose time is over does not begin', async () => {
      const table = await newTable()
      const request = { table, columns: ['at'], rowBinary: Buffer.alloc(8), rowCount: 1, token: 'late', signal: never }
      const late = warehouse.insert({ ...request, deadlineMs: performance.now() - 1 })
      await expect(late).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
      expect((await ask(`SELECT count() FROM ${table}`)).rows).toEqual([[0]])
    })

    test('parameters are values of their types, whatever characters they hold', async () => {
      const nasty = `'; DROP TABLE x -- \\ \` " {p:String} \t\n\r é漢😀`
      const params = {
        s: nasty,
        a: [nasty, 'b', "c'd"],
        n: 42,
        f: 1.5,
        t: true,
        z: null,
        big: 18446744073709551615n,
        e: [],
      }
      const sql = `SELECT {s:String} AS s, {a:Array(String)}, {n:UInt32}, {f:Float64}, {t:Bool}, {z:Nullable(String)},
        {big:UInt64}, {e:Array(Int64)}, '{s:String}' -- {missing:String}`
      const expected = [nasty, params.a, 42, 1.5, true, null, '18446744073709551615', [], '{s:String}']
      expect((await ask(sql, params)).rows).toEqual([expected])
    })

    test('questions at the same time keep their parameters apart', async () => {
      const answers = await Promise.all(
        Array.from(
          { length: 40 },
          async (_, n) => (await ask('SELECT {n:UInt32}, {s:String}', { n, s: `v${n}` })).rows,
        ),
      )
      expect(answers).toEqual(Array.from({ length: 40 }, (_, n) => [[n, `v${n}`]]))
    })

    test('a parameter without a value is refused, never taken from an earlier question', async () => {
      await ask('SELECT {p:String}', { p: 'secret' })
      for (let n = 0; n < 8; n += 1) {
        await expect(ask('SELECT {p:String}')).rejects.toMatchObject({ code: 'WAREHOUSE_REJECTED' })
      }
    })

    test.each([
      [
        'time',
        { executionS: 1, rowsToRead: 0 },
        'SELECT sum(sipHash64(number)) FROM numbers(100000000000)',
        'QueryTimeoutError',
        '1 second',
      ],
      ['rows read', { rowsToRead: 1234 }, 'SELECT sum(number) FROM numbers(1000000)', 'QueryTooLargeError', '1234'],
      [
        'memory',
        { memoryBytes: 7_000_000 },
        'SELECT length(groupArray(number)) FROM numbers(30000000)',
        'QueryTooLargeError',
        '7000000',
      ],
      ['rows answered', { resultRows: 77 }, 'SELECT number FROM numbers(100000)', 'QueryTooLargeError', '77'],
      ['bytes answered', { resultBytes: 999 }, 'SELECT number FROM numbers(100000)', 'QueryTooLargeError', '999'],
    ])(
      'a read over its limit of %s ends with an error that names the limit',
      async (_what, limits, sql, code, named) => {
        const error: unknown = await ask(sql, {}, limits).catch((caught: unknown) => caught)
        expect(error).toMatchObject({ code, message: expect.stringContaining(named) })
        expect(String(error)).not.toMatch(/SELECT|numbers/)
      },
    )

    test('a read cannot write', async () => {
      await expect(ask('INSERT INTO schema_x SELECT 1')).rejects.toMatchObject({ code: expect.any(String) })
      await expect(ask('SELECT 1 SETTINGS max_execution_time = 999')).rejects.toMatchObject({
        code: 'WAREHOUSE_REJECTED',
      })
    })

    test('an error never repeats the SQL or its values', async () => {
      const error = await ask("SELECT 'very secret' + nope({p:String})", { p: 'hidden value' }).catch((e: unknown) => e)
      expect(error).toMatchObject({ code: 'WAREHOUSE_REJECTED' })
      expect(`${String(error)} ${JSON.stringify(error)}`).not.toMatch(/secret|hidden|nope/)
    })

    test('a cancelled question leaves the engine within its time, and the next one runs', async () => {
      const controller = new AbortController()
      const queryId = randomUUID()
      const sql = 'SELECT sum(sipHash64(number)) FROM numbers(1000000000000) -- endless'
      const limits = { ...WIDE, rowsToRead: 0 }
      const running = warehouse.read({ sql, params: {}, limits, queryId, signal: controller.signal })
      const outcome = running.then(
        () => 'answered',
        (error: unknown) => error,
      )
      const busy = async () => {
        const { rows } = await ask(
          "SELECT count() FROM system.processes WHERE query LIKE '%endless%' AND query NOT LIKE '%processes%'",
        )
        return rows[0]?.[0] === 1
      }
      while (!(await busy())) await delay(20)
      controller.abort(new Error('gone'))
      expect(await outcome).toMatchObject({ message: 'gone' })
      while (await busy()) await delay(20)
    })

    test('an answer holds nothing of a query that failed before it', async () => {
      const failing = 'SELECT number, throwIf(number = 150000) FROM numbers(200000) SETTINGS max_block_size = 1000'
      for (let n = 0; n < 6; n += 1) {
        await Promise.allSettled([ask(failing), ask(failing, {}, { resultRows: 10 }), ask(failing)])
        expect(await ask('SELECT {n:UInt8} AS n', { n })).toMatchObject({ columns: [{ name: 'n' }], rows: [[n]] })
      }
    })

    test('a stream gives everything and holds little of it', async () => {
      const request = {
        params: { n: 8_000_000 },
        limits: WIDE,
        queryId: randomUUID(),
        signal: never,
        format: 'JSONEachRow',
      }
      const stream = await warehouse.stream({
        ...request,
        sql: 'SELECT number, toString(number) AS s FROM numbers({n:UInt64})',
      })
      let bytes = 0
      let highest = 0
      const before = process.memoryUsage().arrayBuffers
      for await (const chunk of stream) {
        bytes += (chunk as Buffer).length
        highest = Math.max(highest, process.memoryUsage().arrayBuffers - before)
      }
      expect(bytes).toBeGreaterThan(250_000_000)
      // What the collector has not come to yet is counted too.
      expect(highest).toBeLessThan(128 * 1024 * 1024)
    })

    test('a stream that cannot begin rejects, one that breaks off ends in an error, one that is left stops', async () => {
      const request = { params: {}, limits: WIDE, signal: never, format: 'JSONEachRow' }
      const start = async (sql: string) => warehouse.stream({ ...request, queryId: randomUUID(), sql })
      await expect(start('SELECT nope')).rejects.toMatchObject({ code: 'WAREHOUSE_REJECTED' })
      const broken = await start('SELECT throwIf(number = 2900000) FROM numbers(3000000) SETTINGS max_threads = 1')
        .then(text)
        .catch((error: unknown) => error)
      expect(broken).toMatchObject({ code: expect.stringMatching(/WAREHOUSE_/) })
      const left = await start('SELECT number FROM numbers(1000000000000)')
      await left[Symbol.asyncIterator]().next()
      left.destroy()
      expect((await ask('SELECT 1')).rows).toEqual([[1]])
    })

    test('ping answers', async () => {
      await warehouse.ping()
    })
  })
}
