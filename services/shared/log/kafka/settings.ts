import type { ConnectionOptions } from 'node:tls'
import type { Compression } from './record-batch.ts'

/** Where a running log says what went wrong and was tried again; pino's loggers fit. */
export interface KafkaLogger {
  warn(details: object, message: string): void
}

/** A type alias, because kafkajs wants exactly one of its own shapes. */
export type KafkaSasl = {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}

export interface KafkaLogSettings {
  /** `host:port` of some brokers; the others are found through them. */
  readonly brokers: readonly string[]
  readonly clientId: string
  /** TLS: true for the machine's own authorities, or Node's options. */
  readonly ssl?: boolean | ConnectionOptions
  readonly sasl?: KafkaSasl
  readonly logger: KafkaLogger

  /** How long an append waits for company before it is sent, in milliseconds. Default 5. */
  readonly lingerMs?: number
  /** Bytes that may wait in front of the log, those on their way included. Default 64 MiB. */
  readonly queueBytesMax?: number
  /** Messages of one partition in one request. Default 2,000. */
  readonly batchMessagesMax?: number
  /** Bytes of one partition in one request, before compression. Default 900,000: brokers take 1 MiB unless told otherwise. */
  readonly batchBytesMax?: number
  /** Default 'none'. */
  readonly compression?: Compression
  /** How long an append is tried again before it rejects with LOG_UNAVAILABLE, in milliseconds. Default 20,000. */
  readonly deliveryTimeoutMs?: number

  /** A member of a group that is not heard of for so long loses its partitions, in milliseconds. Default 45,000. */
  readonly sessionTimeoutMs?: number
  /** How long handlers have to return when partitions move, in milliseconds. Default 60,000. */
  readonly rebalanceTimeoutMs?: number
  /** Default 3,000. */
  readonly heartbeatMs?: number

  readonly connectionTimeoutMs?: number
  readonly requestTimeoutMs?: number

  /** For topics that are made here. Default: what the brokers say (-1). */
  readonly replicationFactor?: number
  /** For topics that are made here. Default: what the brokers say. */
  readonly minInsyncReplicas?: number
}

export type KafkaSettings = Required<Omit<KafkaLogSettings, 'ssl' | 'sasl' | 'minInsyncReplicas'>> &
  Pick<KafkaLogSettings, 'ssl' | 'sasl' | 'minInsyncReplicas'>

export const withDefaults = (settings: KafkaLogSettings): KafkaSettings => ({
  lingerMs: 5,
  queueBytesMax: 64 << 20,
  batchMessagesMax: 2_000,
  batchBytesMax: 900_000,
  compression: 'none',
  deliveryTimeoutMs: 20_000,
  sessionTimeoutMs: 45_000,
  rebalanceTimeoutMs: 60_000,
  heartbeatMs: 3_000,
  connectionTimeoutMs: 3_000,
  requestTimeoutMs: 15_000,
  replicationFactor: -1,
  ...settings,
})
