import { AppError } from '../../services/shared/errors.ts'
import type { InsertRequest, ReadRequest, Warehouse } from '../../services/shared/warehouse/port.ts'
import type { Step } from './memory-log.ts'

export interface StoredEvent {
  readonly body: string
  readonly partition: number
  readonly offset: bigint
}

interface StoredRepeat {
  readonly key: string
  readonly project: string
  readonly collection: string
  readonly createdAtMs: number
  readonly partition: number
  readonly offset: bigint
}

/** Reads rows in the format RowBinary, field by field. */
class Rows {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  take(length: number): Buffer {
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  string(): string {
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.take(1)[0] ?? 0
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) return this.take(length).toString()
    }
  }
}

/** What survives every process: rows, and the tokens that were seen. */
export class MemoryWarehouseState {
  readonly events: StoredEvent[] = []
  readonly repeats: StoredRepeat[] = []
  readonly tokens = new Set<string>()
  tokensSeenAgain = 0
}

const project = (rows: Rows) => ({ project: rows.string(), collection: rows.string() })

function parseEvents(bytes: Buffer): StoredEvent[] {
  const rows = new Rows(bytes)
  const out: StoredEvent[] = []
  while (!rows.isAtEnd) {
    project(rows)
    rows.take(8 + 8 + 16)
    const properties = rows.string()
    const body = rows.string()
    if (properties !== body) throw new Error('properties and body differ')
    rows.string()
    out.push({ body, partition: rows.take(4).readUInt32LE(), offset: rows.take(8).readBigUInt64LE() })
  }
  return out
}

function parseRepeats(bytes: Buffer): StoredRepeat[] {
  const rows = new Rows(bytes)
  const out: StoredRepeat[] = []
  while (!rows.isAtEnd) {
    const key = rows.take(16).toString('hex')
    const names = project(rows)
    const createdAtMs = Number(rows.take(8).readBigInt64LE())
    rows.string()
    out.push({
      key,
      ...names,
      createdAtMs,
      partition: rows.take(4).readUInt32LE(),
      offset: rows.take(8).readBigUInt64LE(),
    })
  }
  return out
}

const unused = async (): Promise<never> => {
  throw new Error('the loader does not use this')
}

/** One process's handle on a warehouse that keeps the port's promise for the loader's two tables. */
export function openMemoryWarehouse(state: MemoryWarehouseState, step: Step): Warehouse {
  return {
    kind: 'http',
    changes: undefined,
    async insert(request: InsertRequest) {
      await step(`before insert ${request.table}`)
      const name = `${request.table} ${request.token}`
      if (request.table === 'events') {
        const events = parseEvents(request.rowBinary)
        if (events.some(({ body }) => body.includes('refused'))) throw new AppError('WAREHOUSE_REJECTED', 'bad row')
        if (state.tokens.has(name)) state.tokensSeenAgain += 1
        else state.events.push(...events)
      } else if (!state.tokens.has(name)) {
        state.repeats.push(...parseRepeats(request.rowBinary))
      }
      state.tokens.add(name)
      await step(`after insert ${request.table}`)
    },
    async read({ params }: ReadRequest) {
      await step('before look-up')
      const keys = params['keys'] as readonly string[]
      const isOwn = (row: StoredRepeat): boolean =>
        row.partition === params['partition'] && row.offset >= (params['first'] as bigint)
      const rows = state.repeats
        .filter((row) => keys.includes(row.key) && !isOwn(row))
        .map((row) => [row.project, row.collection, row.key, row.createdAtMs])
      return { columns: [], rows, rowsRead: 0, bytesRead: 0, elapsedS: 0 }
    },
    command: unused,
    stream: unused,
    ping: unused,
    close: async () => undefined,
  }
}
