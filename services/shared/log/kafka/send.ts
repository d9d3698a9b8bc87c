import { AppError } from '../../errors.ts'
import type { KafkaConnection } from './connection.ts'
import { CODE, isFatal } from './errors.ts'
import { encodeBatch } from './record-batch.ts'
import type { Piece } from './lane.ts'
import { produce } from './wire.ts'

export interface Outgoing {
  readonly partition: number
  readonly pieces: readonly Piece[]
}

export type SendResult =
  | { readonly kind: 'written'; readonly base: bigint }
  /** Not confirmed; it may have been written all the same. */
  | { readonly kind: 'retry'; readonly error: unknown }
  | { readonly kind: 'refused'; readonly error: unknown }

/** Answers that the same batch would get again. */
const REFUSALS = new Set<number>([
  CODE.MESSAGE_TOO_LARGE,
  CODE.RECORD_LIST_TOO_LARGE,
  CODE.TOPIC_AUTHORIZATION_FAILED,
  CODE.INVALID_RECORD,
  17, // invalid topic
  31, // cluster authorization failed
  35, // unsupported version
  43, // unsupported for message format
  76, // unsupported compression
])

/** Writes one batch for each partition to the broker that leads them all, and says how each fared. Never rejects. */
export async function sendBatches(
  connection: KafkaConnection,
  target: { readonly topic: string; readonly leader: number },
  outgoing: readonly Outgoing[],
): Promise<SendResult[]> {
  const { compression, requestTimeoutMs } = connection.settings
  const { topic, leader } = target
  try {
    const nowMs = Date.now()
    const batches = await Promise.all(
      outgoing.map(async ({ partition, pieces }) => ({
        partition,
        batch: await encodeBatch(
          pieces.flatMap(({ messages }) => messages),
          { compression, nowMs },
        ),
      })),
    )
    const broker = await connection.broker(leader, topic)
    const request = produce(new Map([[topic, batches]]), Math.ceil(requestTimeoutMs * 0.8))
    const { partitions } = await connection.send(broker, request)
    const answers = new Map(partitions.map((answer) => [answer.partition, answer]))
    return outgoing.map(({ partition }) => resultOf(topic, partition, answers.get(partition)))
  } catch (error) {
    return outgoing.map(() => ({ kind: isFatal(error) ? 'refused' : 'retry', error }))
  }
}

function resultOf(
  topic: string,
  partition: number,
  answer: { readonly errorCode: number; readonly baseOffset: bigint } | undefined,
): SendResult {
  if (answer?.errorCode === CODE.NONE) return { kind: 'written', base: answer.baseOffset }
  const details = { topic, partition, errorCode: answer?.errorCode }
  if (answer !== undefined && REFUSALS.has(answer.errorCode)) {
    return { kind: 'refused', error: new AppError('LOG_REJECTED', 'the broker refuses these messages', { details }) }
  }
  return { kind: 'retry', error: new AppError('LOG_UNAVAILABLE', 'the broker did not take a batch', { details }) }
}
