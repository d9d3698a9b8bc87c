import { AppError } from '../../errors.ts'
import type { KafkaConnection } from './connection.ts'
import { CODE, isFatal } from './errors.ts'
import { encodeBatch } from './record-batch.ts'
import type { Batch } from './lane.ts'
import type { Producer } from './record-batch.ts'
import { produce } from './wire.ts'

export interface Outgoing {
  readonly partition: number
  readonly batch: Batch
  readonly producer: Producer
}

export type SendResult =
  | { readonly kind: 'written'; readonly base: bigint }
  /** Not confirmed; it may have been written all the same. */
  | { readonly kind: 'retry'; readonly error: unknown }
  /** This producer cannot write this batch; a new one may. */
  | { readonly kind: 'disowned'; readonly error: unknown }
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

const DISOWNED = new Set<number>([
  CODE.OUT_OF_ORDER_SEQUENCE_NUMBER,
  CODE.INVALID_PRODUCER_EPOCH,
  CODE.UNKNOWN_PRODUCER_ID,
])

/** A producer that no batch has come from yet. */
export async function newProducer(connection: KafkaConnection): Promise<Producer> {
  const broker = await connection.anyBroker()
  const { producerId, producerEpoch } = await broker.initProducerId({ transactionTimeout: 60_000 })
  return { id: BigInt(producerId), epoch: producerEpoch }
}

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
      outgoing.map(async ({ partition, batch: { pieces, sequence }, producer }) => ({
        partition,
        batch: await encodeBatch(
          pieces.flatMap(({ messages }) => messages),
          { compression, nowMs, numbering: { producer, sequence } },
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
  if (answer?.errorCode === CODE.NONE || answer?.errorCode === CODE.DUPLICATE_SEQUENCE_NUMBER) {
    return { kind: 'written', base: answer.baseOffset }
  }
  const details = { topic, partition, errorCode: answer?.errorCode }
  if (answer !== undefined && REFUSALS.has(answer.errorCode)) {
    return { kind: 'refused', error: new AppError('LOG_REJECTED', 'the broker refuses these messages', { details }) }
  }
  if (answer !== undefined && DISOWNED.has(answer.errorCode)) {
    return {
      kind: 'disowned',
      error: new AppError('LOG_UNAVAILABLE', 'the broker lost count of a producer', { details }),
    }
  }
  return { kind: 'retry', error: new AppError('LOG_UNAVAILABLE', 'the broker did not take a batch', { details }) }
}
