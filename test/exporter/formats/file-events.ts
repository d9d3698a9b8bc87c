import { BLOCK_BYTES, type BlockPacker } from '../../../services/exporter/formats/block-packer.ts'
import { inBlocks } from '../../../services/exporter/formats/blocks.ts'
import { formatOf } from '../../../services/exporter/formats/index.ts'
import type {
  FileEvent,
  FileEvents,
  FormatName,
  Kept,
  KnownColumns,
} from '../../../services/exporter/formats/format.ts'

export const T0 = Date.UTC(2025, 0, 1)

export const uuid = (i: number): string => `01941f29-7c00-7000-8000-${i.toString(16).padStart(12, '0')}`

/** Events of these JSON texts, a second apart from each other. */
export const eventsOf = (texts: readonly string[]): readonly FileEvent[] =>
  texts.map((text, i) => ({
    id: uuid(i),
    timestampMs: T0 + i * 1_000,
    createdAtMs: T0 + i * 1_000 + 5,
    properties: Buffer.from(text),
  }))

/** A source that gives them in batches of this size. */
export const inBatches = (events: readonly FileEvent[], size = 100): FileEvents =>
  async function* () {
    for (let i = 0; i < events.length; i += size) yield events.slice(i, i + size)
  }

export async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

async function* inPackedBlocks(lines: AsyncIterable<Buffer>, file: BlockPacker): AsyncGenerator<Buffer> {
  for await (const block of inBlocks(lines, BLOCK_BYTES)) yield file.pack(block)
  yield file.finish().tail
}

/** A file of them, in any format. */
export function encodeAs(
  name: FormatName,
  events: FileEvents,
  keep?: (kept: Kept) => void,
  known?: KnownColumns,
): AsyncIterable<Buffer> {
  const format = formatOf(name)
  if (format.kind === 'whole') return format.encode(events, keep, known)
  const { lines: writer } = format
  async function* lines(): AsyncGenerator<Buffer> {
    for await (const batch of events()) {
      for (const event of batch) {
        const target = Buffer.alloc(writer.bytesMax(event))
        yield target.subarray(0, writer.write(target, 0, event))
      }
    }
  }
  return format.kind === 'stream' ? format.pack(lines()) : inPackedBlocks(lines(), format.packer())
}

export async function fileOf(
  name: FormatName,
  texts: readonly string[],
): Promise<{ readonly bytes: Buffer; readonly kept: Kept | undefined }> {
  const told: Kept[] = []
  const bytes = await bytesOf(encodeAs(name, inBatches(eventsOf(texts)), (kept) => told.push(kept)))
  const wanted = formatOf(name).kind === 'whole' ? 1 : 0
  if (told.length !== wanted) throw new Error(`keep was told ${told.length} times`)
  return { bytes, kept: told[0] }
}
