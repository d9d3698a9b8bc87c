import { createInterface } from 'node:readline'
import { AppError } from '../../../services/shared/errors.ts'
import { openLmdbLog, type LmdbLog } from '../../../services/shared/log/lmdb/open.ts'

/**
 * A process that uses the log and can be killed or frozen by a test. It says what it did on its output, a line a fact.
 *
 *   node lmdb-child.ts append FOLDER TOPIC LABEL [CALLS]   "PARTITION LAST OFFSET" for each call that was confirmed;
 *                                                          it is a member of the group LABEL meanwhile
 *   node lmdb-child.ts hold FOLDER TOPIC GROUP SESSION_MS  "held P"; a line "commit OFFSET" on its input is answered
 */
const [mode = '', folder = '', topic = '', name = '', number = ''] = process.argv.slice(2)

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const codeOf = (error: unknown): string => (error instanceof AppError ? error.code : String(error))

const MESSAGES_PER_CALL = 5

/** One writer for each partition; the values of a partition count up. */
async function append(log: LmdbLog, callsMax: number): Promise<void> {
  const { partitions } = await log.describe(topic)
  const filler = '.'.repeat(200)
  const write = async (partition: number): Promise<void> => {
    for (let call = 0; call < callsMax; call += 1) {
      const first = call * MESSAGES_PER_CALL
      const messages = Array.from({ length: MESSAGES_PER_CALL }, (_, i) => ({
        partition,
        key: null,
        value: Buffer.from(`${name}:${first + i}:${filler}`),
      }))
      const last = await log.append(topic, messages)
      say(`${partition} ${first + MESSAGES_PER_CALL - 1} ${last.get(partition)}`)
    }
  }
  const consuming = log.consume(
    { topic, group: name, signal: new AbortController().signal },
    (claim) =>
      new Promise((resolve) => {
        claim.signal.addEventListener('abort', () => resolve(), { once: true })
      }),
  )
  consuming.then(
    () => say('left'),
    (error: unknown) => say(`consumer ${codeOf(error)}`),
  )
  try {
    await Promise.all(Array.from({ length: partitions }, (_, partition) => write(partition)))
  } catch (error) {
    say(`failed ${codeOf(error)}`)
    say(`ping ${await log.ping().then(() => 'fine', codeOf)}`)
  }
}

async function hold(log: LmdbLog): Promise<void> {
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  const lines = createInterface({ input: process.stdin })
  await log.consume({ topic, group: name, signal: stop.signal }, async (claim) => {
    lines.on('line', (line) => {
      const [, offset = '0'] = line.split(' ')
      claim.commit(BigInt(offset), 'from the child').then(
        () => say('committed'),
        (error: unknown) => say(codeOf(error)),
      )
    })
    say(`held ${claim.partition}`)
    await new Promise<void>((resolve) => {
      claim.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  })
  lines.close()
}

const log = await openLmdbLog({ folder, ...(mode === 'hold' ? { sessionTimeoutMs: Number(number) } : {}) })
if (mode === 'append') await append(log, number === '' ? Number.POSITIVE_INFINITY : Number(number))
else await hold(log)
await log.close()
say('closed')
