import { type ArchivedEvent, parseLine } from './line.ts'

const NEWLINE = 0x0a
const NOTHING = Buffer.alloc(0)

/** Events of whole lines, as views; `onDamage` makes the error for what is none of the archive's. */
export function eventsIn(lines: Buffer, onDamage: () => Error): readonly ArchivedEvent[] {
  const events: ArchivedEvent[] = []
  let start = 0
  for (let end = lines.indexOf(NEWLINE); end !== -1; end = lines.indexOf(NEWLINE, start)) {
    const event = parseLine(lines.subarray(start, end))
    if (event === undefined) throw onDamage()
    events.push(event)
    start = end + 1
  }
  if (start < lines.length) throw onDamage()
  return events
}

/**
 * Events out of a stream of lines, in batches that view the pieces they came in: a batch is good until the next one is
 * asked for. `onDamage` makes the error for a line that is none of the archive's, or that does not end.
 */
export async function* eventsOf(
  chunks: AsyncIterable<Buffer>,
  onDamage: () => Error,
): AsyncGenerator<readonly ArchivedEvent[]> {
  let rest: Buffer = NOTHING
  for await (const chunk of chunks) {
    const batch: ArchivedEvent[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = chunk.subarray(start, end)
      const event = parseLine(rest.length === 0 ? line : Buffer.concat([rest, line]))
      if (event === undefined) throw onDamage()
      batch.push(event)
      rest = NOTHING
      start = end + 1
    }
    const tail = chunk.subarray(start)
    rest = rest.length === 0 ? tail : Buffer.concat([rest, tail])
    if (batch.length > 0) yield batch
  }
  if (rest.length > 0) throw onDamage()
}
