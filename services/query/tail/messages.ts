import type { AppError } from '../../shared/errors.ts'
import { errorAnswer } from '../../shared/http/error-answer.ts'

/** Server-sent events as text. JSON has no line breaks in it, so that a message's data is one line. */

/** What a client waits before it connects again, and that the stream has begun. */
export const OPENING = 'retry: 3000\n: live\n\n'
export const HEARTBEAT = ':\n\n'

/** `position` names the event's place in the log; there is no way back to it. */
export const eventMessage = (position: string, json: string): string => `id: ${position}\ndata: ${json}\n\n`

/** Why events that were asked for are not there: the reader was slow, they were too many, or this process too busy to look. */
export const DROP_REASONS = ['slow', 'rate', 'busy'] as const
export type DropReason = (typeof DROP_REASONS)[number]
export type DropCounts = Readonly<Record<DropReason, number>>

/** `busy` counts events that nobody looked at, whether or not they would have passed the filters. */
export const droppedMessage = (reasons: DropCounts): string =>
  `event: dropped\ndata: ${JSON.stringify({ count: reasons.slow + reasons.rate + reasons.busy, reasons })}\n\n`

/** The last message of a stream that the server ends. */
export function endMessage(error: AppError): string {
  const { error_code, message } = errorAnswer(error, '').body
  return `event: end\ndata: ${JSON.stringify({ error_code, message })}\n\n`
}
