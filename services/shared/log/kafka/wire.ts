import { encodable, type Protocol } from './kafkajs-parts.ts'

/**
 * The three Kafka requests that the client of kafkajs cannot send as we need them: Produce with an answer for each
 * partition, Fetch with whole batches, and Metadata with topic ids. Shapes are those of the Kafka protocol guide.
 */

class Writer {
  readonly #parts: Buffer[] = []

  int8(value: number): this {
    return this.#push(1, (b) => b.writeInt8(value))
  }
  int16(value: number): this {
    return this.#push(2, (b) => b.writeInt16BE(value))
  }
  int32(value: number): this {
    return this.#push(4, (b) => b.writeInt32BE(value))
  }
  int64(value: bigint): this {
    return this.#push(8, (b) => b.writeBigInt64BE(value))
  }
  uvarint(value: number): this {
    let rest = value
    for (; rest >= 128; rest >>>= 7) this.int8(((rest & 127) | 128) - 256)
    return this.int8(rest)
  }
  string(value: string): this {
    const bytes = Buffer.from(value)
    return this.int16(bytes.length).raw(bytes)
  }
  compactString(value: string): this {
    const bytes = Buffer.from(value)
    return this.uvarint(bytes.length + 1).raw(bytes)
  }
  raw(bytes: Buffer): this {
    this.#parts.push(bytes)
    return this
  }
  get buffer(): Buffer {
    return Buffer.concat(this.#parts)
  }
  #push(size: number, write: (buffer: Buffer) => void): this {
    const buffer = Buffer.allocUnsafe(size)
    write(buffer)
    this.#parts.push(buffer)
    return this
  }
}

class Reader {
  #at = 0
  readonly #bytes: Buffer
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  #skip(size: number): number {
    const at = this.#at
    this.#at += size
    return at
  }
  int8(): number {
    return this.#bytes.readInt8(this.#skip(1))
  }
  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }
  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }
  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#skip(8))
  }
  uvarint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#skip(1))
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
  }
  raw(size: number): Buffer {
    const at = this.#skip(size)
    return this.#bytes.subarray(at, at + size)
  }
  string(): string {
    return this.raw(this.int16()).toString()
  }
  compactString(): string | null {
    const length = this.uvarint()
    return length === 0 ? null : this.raw(length - 1).toString()
  }
  array<T>(item: () => T): T[] {
    return Array.from({ length: Math.max(this.int32(), 0) }, item)
  }
  compactArray<T>(item: () => T): T[] {
    return Array.from({ length: Math.max(this.uvarint() - 1, 0) }, item)
  }
  tags(): void {
    for (let count = this.uvarint(); count > 0; count -= 1) {
      this.uvarint()
      this.raw(this.uvarint())
    }
  }
}

const answering = <T>(decode: (reader: Reader) => T): Protocol<T>['response'] => ({
  decode: (raw) => Promise.resolve(decode(new Reader(raw))),
  parse: (data) => Promise.resolve(data),
})

interface Throttled {
  /** Milliseconds for which the connection holds back further requests (KIP-219); kafkajs does this by this name. */
  readonly clientSideThrottleTime: number
}

export interface ProduceResult extends Throttled {
  readonly partitions: readonly { topic: string; partition: number; errorCode: number; baseOffset: bigint }[]
}

/** Produce, version 7: acknowledged by all in-sync replicas. One batch for each partition. */
export function produce(
  topics: ReadonlyMap<string, readonly { readonly partition: number; readonly batch: Buffer }[]>,
  timeoutMs: number,
): Protocol<ProduceResult> {
  return {
    request: {
      apiKey: 0,
      apiVersion: 7,
      apiName: 'Produce',
      async encode() {
        const writer = new Writer().int16(-1).int16(-1).int32(timeoutMs).int32(topics.size)
        for (const [topic, partitions] of topics) {
          writer.string(topic).int32(partitions.length)
          for (const { partition, batch } of partitions) writer.int32(partition).int32(batch.length).raw(batch)
        }
        return encodable(writer.buffer)
      },
    },
    response: answering((reader) => {
      const partitions = reader.array(() => {
        const topic = reader.string()
        return reader.array(() => {
          const partition = reader.int32()
          const errorCode = reader.int16()
          const baseOffset = reader.int64()
          reader.int64() // log append time
          reader.int64() // log start offset
          return { topic, partition, errorCode, baseOffset }
        })
      })
      return { partitions: partitions.flat(), clientSideThrottleTime: reader.int32() }
    }),
  }
}

export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: bigint
  readonly bytes: Buffer
}

export interface FetchResult extends Throttled {
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

/** Fetch, version 11, without a fetch session: waits up to `waitMs` on the broker for a first byte. */
export function fetch(
  topic: string,
  partitions: readonly { readonly partition: number; readonly position: bigint; readonly bytesMax: number }[],
  limits: { readonly waitMs: number; readonly bytesMax: number },
): Protocol<FetchResult> {
  return {
    request: {
      apiKey: 1,
      apiVersion: 11,
      apiName: 'Fetch',
      async encode() {
        const writer = new Writer().int32(-1).int32(limits.waitMs).int32(1).int32(limits.bytesMax)
        writer.int8(0).int32(0).int32(-1).int32(1).string(topic).int32(partitions.length)
        for (const { partition, position, bytesMax } of partitions) {
          writer.int32(partition).int32(-1).int64(position).int64(-1n).int32(bytesMax)
        }
        return encodable(writer.int32(0).string('').buffer)
      },
    },
    response: answering((reader) => {
      const clientSideThrottleTime = reader.int32()
      const errorCode = reader.int16()
      reader.int32() // session
      const answered = reader.array(() => {
        reader.string()
        return reader.array((): FetchedPartition => {
          const partition = reader.int32()
          const errorCode = reader.int16()
          const highWatermark = reader.int64()
          reader.int64() // last stable offset
          reader.int64() // log start offset
          reader.array(() => reader.int64() + reader.int64()) // aborted transactions: nobody writes any here
          reader.int32() // preferred replica
          const bytes = reader.raw(Math.max(reader.int32(), 0))
          return { partition, errorCode, highWatermark, bytes }
        })
      })
      return { clientSideThrottleTime, errorCode, partitions: answered.flat() }
    }),
    requestTimeout: limits.waitMs + 15_000,
  }
}

export interface TopicMetadata {
  readonly errorCode: number
  /** The topic's id: given when the topic is made, and never again to another. */
  readonly id: Buffer
  /** Leader by partition; -1 while there is none. */
  readonly leaders: ReadonlyMap<number, number>
}

export const METADATA_API = { key: 3, version: 12 } as const

/** Metadata, version 12 (Kafka 3.0 and newer), of one topic. */
export function metadata(topic: string): Protocol<TopicMetadata & Throttled> {
  return {
    request: {
      apiKey: METADATA_API.key,
      apiVersion: METADATA_API.version,
      apiName: 'Metadata',
      async encode() {
        const writer = new Writer().uvarint(0) // the header's tags, which kafkajs does not know of
        writer.uvarint(2).raw(Buffer.alloc(16)).compactString(topic).uvarint(0)
        return encodable(writer.int8(0).int8(0).uvarint(0).buffer)
      },
    },
    response: answering((reader) => {
      reader.tags()
      const clientSideThrottleTime = reader.int32()
      reader.compactArray(() => {
        reader.int32()
        reader.compactString()
        reader.int32()
        reader.compactString()
        reader.tags()
      })
      reader.compactString() // cluster id
      reader.int32() // controller
      const [found] = reader.compactArray(() => {
        const errorCode = reader.int16()
        reader.compactString()
        const id = Buffer.from(reader.raw(16))
        reader.int8() // internal
        const partitions = reader.compactArray((): [number, number] => {
          reader.int16()
          const partition = reader.int32()
          const leader = reader.int32()
          reader.int32() // leader epoch
          for (let list = 0; list < 3; list += 1) reader.compactArray(() => reader.int32())
          reader.tags()
          return [partition, leader]
        })
        reader.int32() // authorized operations
        reader.tags()
        return { errorCode, id, leaders: new Map(partitions) }
      })
      return { ...(found ?? { errorCode: 3, id: Buffer.alloc(16), leaders: new Map() }), clientSideThrottleTime }
    }),
  }
}
