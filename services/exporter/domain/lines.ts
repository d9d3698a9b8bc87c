import { type ArchivedEvent, parseLine } from './line.ts'

const NEWLINE = 0x0a

/**
 * Events out of a stream of lines, in batches that view the pieces they came in: a batch is good until the next one is
 * asked for. `onDamage` makes the error for a line that is none of the archive's, or that does not end.
 */
export async function* eventsOf(
  chunks: AsyncIterable<Buffer>,
  onDamage: () => Error,
): AsyncGenerator<readonly ArchivedEvent[]> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const batch: ArchivedEvent[] = []
    let start = 0
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      const event = parseLine(bytes.subarray(start, end))
      if (event === undefined) throw onDamage()
      batch.push(event)
      start = end + 1
    }
    rest = bytes.subarray(start)
    if (batch.length > 0) yield batch
  }
  if (rest.length > 0) throw onDamage()
}
