import type { KafkaLogger } from './settings.ts'

const REPEAT_AFTER_MS = 10_000
const MESSAGES_MAX = 1_000

/**
 * Passes a message on once in ten seconds, with the number of times it was held back: during an outage every
 * connection of the client says the same some dozen times a second.
 */
export function quietLogger(logger: KafkaLogger, nowMs: () => number = () => performance.now()): KafkaLogger {
  const said = new Map<string, { atMs: number; heldBack: number }>()
  return {
    warn(details, message) {
      const last = said.get(message)
      if (last !== undefined && nowMs() - last.atMs < REPEAT_AFTER_MS) {
        last.heldBack += 1
        return
      }
      if (said.size >= MESSAGES_MAX) said.clear()
      said.set(message, { atMs: nowMs(), heldBack: 0 })
      const heldBack = last?.heldBack ?? 0
      logger.warn(heldBack === 0 ? details : { ...details, heldBack }, message)
    },
  }
}
