/**
 * Which layout should the events table have? Loads the same generated events into each candidate and asks each the same
 * question: few wide collections, and many narrow ones with properties of their own.
 *
 *     UV_THREADPOOL_SIZE=16 node bench/table-layout.ts [--rows 100000] [--runs 3] [--collections 5|500]
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openChdbWarehouse } from '../services/shared/warehouse/chdb.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../services/shared/warehouse/row-binary.ts'
import { median, report } from './report.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    runs: { type: 'string', default: '3' },
    collections: { type: 'string' },
  },
})
const ROWS = Number(values.rows)
const RUNS = Number(values.runs)
const BATCH = 50_000
const T0 = Date.UTC(2026, 0, 1)

interface Shape {
  readonly name: string
  readonly collections: number
  readonly props: number
}
const SHAPES: readonly Shape[] = [
  { name: '5 collections x 60 properties', collections: 5, props: 60 },
  { name: '500 collections x 20 own properties', collections: 500, props: 20 },
]

interface Layout {
  readonly name: string
  /** Definition of the columns that hold the properties. */
  readonly columns: string
  readonly sends: readonly ('properties' | 'body')[]
  readonly settings: string
  readonly isText?: boolean
}
const ADVANCED = ", object_shared_data_serialization_version = 'advanced'"
const BODY = 'body String CODEC(ZSTD(3))'
const json = (paths: number): string => `JSON(max_dynamic_paths = ${paths})`
const both = (paths: number, settings = ADVANCED): Layout => ({
  name: `JSON(${paths}), advanced, and body`,
  columns: `properties ${json(paths)}, ${BODY}`,
  sends: ['properties', 'body'],
  settings,
})
const LAYOUTS: readonly Layout[] = [
  both(0),
  both(64),
  both(256),
  { ...both(64, ''), name: 'JSON(64), default shared data, and body' },
  {
    ...both(64),
    name: 'JSON(64) computed from body by the server',
    columns: `${BODY}, properties ${json(64)} DEFAULT body`,
    sends: ['body'],
  },
  { ...both(64), name: 'JSON(64), no body', columns: `properties ${json(64)}`, sends: ['properties'] },
  {
    ...both(64),
    name: 'JSON(64) and body, fsync after insert',
    settings: `${ADVANCED}, fsync_after_insert = 1, fsync_part_directory = 1`,
  },
  { name: 'body alone', columns: BODY, sends: ['body'], settings: '', isText: true },
]

/** Small, seeded and good enough: mulberry32. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
}

function body(shape: Shape, collection: number, next: () => number): string {
  const own = shape.collections > 5 ? `c${collection}_` : ''
  const out: Record<string, unknown> = {}
  for (let prop = 0; prop < shape.props; prop += 1) {
    const value = next()
    const name = `${own}p${prop}`
    if (prop % 4 === 0) out[name] = Math.round(value * 10_000) / 100
    else if (prop % 4 === 1) out[name] = Math.floor(value * 1000)
    else if (prop % 4 === 2) out[name] = `value ${Math.floor(value * 20)}`
    else out[name] = value < 0.5
  }
  return JSON.stringify(out)
}

interface Payload {
  readonly rowBinary: Buffer
  readonly rowCount: number
}

function payloads(shape: Shape, layout: Layout): readonly Payload[] {
  const next = random(42)
  const out: Payload[] = []
  for (let start = 0; start < ROWS; start += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, ROWS - start) }, (_, index) => {
      const collection = Math.floor(next() * shape.collections)
      return { collection, at: T0 + (start + index) * 100, text: body(shape, collection, next) }
    }).toSorted((a, b) => a.collection - b.collection || a.at - b.at)
    const writer = new RowBinaryWriter(rows.length * 1024)
    for (const row of rows) {
      writer.string('5f0c00000000000000000001')
      writer.string(`collection-${row.collection}`)
      writer.millis(row.at)
      writer.uuid(Buffer.alloc(16, row.at % 256))
      for (let column = 0; column < layout.sends.length; column += 1) writer.string(row.text)
    }
    out.push({ rowBinary: writer.finish(), rowCount: rows.length })
  }
  return out
}

async function ask(warehouse: Warehouse, sql: string): Promise<readonly (readonly unknown[])[]> {
  const limits = { executionS: 120, rowsToRead: 0, memoryBytes: 8e9, resultRows: 1e6, resultBytes: 1e9 }
  const signal = new AbortController().signal
  return (await warehouse.read({ sql, params: {}, limits, queryId: randomUUID(), signal })).rows
}

async function measure(warehouse: Warehouse, shape: Shape, layout: Layout): Promise<void> {
  const batches = payloads(shape, layout)
  const own = shape.collections > 5 ? 'c1_' : ''
  const of = (name: string, extract: string): string =>
    layout.isText === true ? `${extract}(body, '${own}${name}')` : `properties.\`${own}${name}\``
  const average = layout.isText === true ? of('p0', 'JSONExtractFloat') : `toFloat64OrNull(toString(${of('p0', '')}))`
  const group = layout.isText === true ? of('p2', 'JSONExtractString') : `toString(${of('p2', '')})`
  const filter = layout.isText === true ? `${of('p1', 'JSONExtractInt')} < 500` : `${of('p1', '')}.:Int64 < 500`
  const loads: number[] = []
  const asks: number[] = []
  let bytes = 0
  for (let run = 0; run < RUNS; run += 1) {
    await warehouse.command('DROP TABLE IF EXISTS layout')
    await warehouse.command(
      `CREATE TABLE layout (project LowCardinality(String), collection LowCardinality(String),
       timestamp DateTime64(3, 'UTC'), id UUID, ${layout.columns}) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp)
       ORDER BY (project, collection, timestamp, id) SETTINGS non_replicated_deduplication_window = 10000${layout.settings}`,
    )
    const started = performance.now()
    for (const batch of batches) {
      const columns = ['project', 'collection', 'timestamp', 'id', ...layout.sends]
      const deadlineMs = performance.now() + 300_000
      const signal = new AbortController().signal
      await warehouse.insert({ table: 'layout', columns, ...batch, token: randomUUID(), deadlineMs, signal })
    }
    loads.push(ROWS / ((performance.now() - started) / 1000))
    const sql = `SELECT ${group} AS g, avg(${average}), count() FROM layout
      WHERE project = '5f0c00000000000000000001' AND collection = 'collection-1' AND ${filter} GROUP BY g ORDER BY g`
    await ask(warehouse, sql)
    for (let again = 0; again < 5; again += 1) {
      const asked = performance.now()
      const rows = await ask(warehouse, sql)
      asks.push(performance.now() - asked)
      if (rows.length < 10) throw new Error(`expected about 20 groups, got ${rows.length}`)
    }
    bytes = Number(
      (await ask(warehouse, "SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'layout' AND active"))[0]?.[0],
    )
  }
  report('table-layout', {
    chdb: version,
    rows: ROWS,
    batch: BATCH,
    runs: RUNS,
    shape: shape.name,
    layout: layout.name,
    rowsPerS: Math.round(median(loads)),
    askMs: Math.round(median(asks) * 10) / 10,
    bytesPerRow: Math.round(bytes / ROWS),
  })
}

const folder = mkdtempSync(join(tmpdir(), 'tributary-layout-'))
const warehouse = await openChdbWarehouse({ folder, readSessions: 2 })
const version = String((await ask(warehouse, 'SELECT version()'))[0]?.[0])
for (const shape of SHAPES.filter(
  ({ collections }) => values.collections === undefined || collections === Number(values.collections),
)) {
  for (const layout of LAYOUTS) await measure(warehouse, shape, layout)
}
await warehouse.close()
rmSync(folder, { recursive: true, force: true })
