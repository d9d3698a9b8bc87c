import { ByteWriter } from 'hyparquet-writer'

/** Where a Parquet file is written to: bytes are taken out as they come, and `offset` goes on counting. */
export class ChunkWriter extends ByteWriter {
  /** What was written since the last time. */
  take(): Buffer {
    const taken = Buffer.from(this.buffer, 0, this.index)
    // The bytes belong to whoever took them: the next ones go into a buffer of their own.
    this.buffer = new ArrayBuffer(START_BYTES)
    this.view = new DataView(this.buffer)
    this.index = 0
    return taken
  }
}

const START_BYTES = 64 << 10
