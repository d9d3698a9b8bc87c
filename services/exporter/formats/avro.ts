import { longBytesMax, writeLong } from '../../shared/events/wire.ts'
import { avroFile, type AvroRecord, readSchema } from './avro-container.ts'
import type { FileEvent, FileEvents, WholeFormat, Kept } from './format.ts'

/** An Avro object container file of records of `schemas/avro/exported-event.v1.avsc`. */
export const avroContainer: WholeFormat = {
  kind: 'whole',
  name: 'avro',
  extension: 'avro',
  contentType: 'application/vnd.apache.avro+binary',
  hasColumns: false,
  encode: encodeContainer,
}

async function* encodeContainer(events: FileEvents, keep?: (kept: Kept) => void): AsyncGenerator<Buffer> {
  async function* records(): AsyncGenerator<readonly AvroRecord[]> {
    for await (const batch of events()) yield batch.map((event) => [recordHead(event), event.properties])
  }
  yield* avroFile(readSchema('exported-event.v1.avsc'), records())
  keep?.({})
}

/** A record up to the text of its properties. */
function recordHead(event: FileEvent): Buffer {
  const idBytes = Buffer.byteLength(event.id)
  const head = Buffer.allocUnsafe(idBytes + 4 * longBytesMax)
  let position = writeLong(head, idBytes, 0)
  position += head.write(event.id, position)
  position = writeLong(head, event.timestampMs, position)
  position = writeLong(head, event.createdAtMs, position)
  position = writeLong(head, event.properties.length, position)
  return head.subarray(0, position)
}
