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

/** How many there are, of whole ones. */
export function lineCount(lines: Buffer): number {
  let count = 0
  for (let at = lines.indexOf(NEWLINE); at !== -1; at = lines.indexOf(NEWLINE, at + 1)) count += 1
  return count
}

/**
 * Whole lines out of a stream of bytes, in pieces that view the chunks they came in: nobody reads those again, so that a piece
 * may be written over. `onDamage` makes the error for a last line that does not end.
 */
export async function* wholeLines(chunks: AsyncIterable<Buffer>, onDamage: () => Error): AsyncGenerator<Buffer> {
  let rest: Buffer = NOTHING
  for await (const chunk of chunks) {
    let start = 0
    if (rest.length > 0) {
      start = chunk.indexOf(NEWLINE) + 1
      rest = Buffer.concat([rest, start === 0 ? chunk : chunk.subarray(0, start)])
      if (start === 0) continue
      yield rest
    }
    const end = Math.max(start, chunk.lastIndexOf(NEWLINE) + 1)
    if (end > start) yield chunk.subarray(start, end)
    rest = chunk.subarray(end)
  }
  if (rest.length > 0) throw onDamage()
}

/**
 * Events out of a stream of lines, in batches that view the pieces they came in: a batch is good until the next one is
 * asked for. `onDamage` makes the error for a line that is none of the archive's, or that does not end.
 */
export async function* eventsOf(
  chunks: AsyncIterable<Buffer>,
  onDamage: () => Error,
): AsyncGenerator<readonly ArchivedEvent[]> {
  for await (const lines of wholeLines(chunks, onDamage)) yield eventsIn(lines, onDamage)
}
