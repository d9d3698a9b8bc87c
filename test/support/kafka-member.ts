import { openKafkaLog } from '../../services/shared/log/kafka/open.ts'

/**
 * A member of a consumer group in a process of its own, to be frozen and thawed. Arguments: broker, topic, group. Says
 * `claimed` once it holds partition 0; for each line of input it commits, under that first claim, and says how it went.
 */
const [broker = '', topic = '', group = ''] = process.argv.slice(2)
const say = (word: string): void => void process.stdout.write(`${word}\n`)

const log = await openKafkaLog({
  brokers: [broker],
  clientId: 'member',
  logger: { warn() {} },
  sessionTimeoutMs: 2_000,
  rebalanceTimeoutMs: 4_000,
  heartbeatMs: 200,
})
const stop = new AbortController()
let held = false
await log.consume({ topic, group, signal: stop.signal }, async (claim) => {
  if (held || claim.partition !== 0) return
  held = true
  say('claimed')
  const lines = process.stdin[Symbol.asyncIterator]()
  while ((await lines.next()).done !== true) {
    try {
      await claim.commit(1n, 'from the frozen one')
      say('committed')
    } catch (error) {
      say(error instanceof Error && 'code' in error ? String(error.code) : String(error))
    }
  }
})
