import { readFile } from 'node:fs/promises'
import type { Config, KafkaSettings } from '../../shared/config.ts'
import { AppError } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { prefixedLog } from '../../shared/log/prefixed.ts'

export interface WarnLog {
  warn(fields: object, message: string): void
}

/** The log of the settings, connected. Its topics may still be missing. */
export async function openLog(config: Config, logger: WarnLog): Promise<EventLog> {
  const { queueBytesMax } = config.ingest
  if (config.log.kind === 'kafka') return openKafka(config.log, queueBytesMax, logger)
  const { openLmdbLog } = await import('../../shared/log/lmdb/open.ts')
  const { folder, sessionTimeoutMs } = config.log
  return openLmdbLog({ folder, queueBytesMax, logger, ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }) })
}

async function openKafka(settings: KafkaSettings, queueBytesMax: number, logger: WarnLog): Promise<EventLog> {
  const { openKafkaLog } = await import('../../shared/log/kafka/open.ts')
  const { brokers, clientId, sasl, replicationFactor, minInsyncReplicas, sessionTimeoutMs } = settings
  const ssl = settings.ssl && (settings.ssl.caFile === undefined ? true : { ca: await authority(settings.ssl.caFile) })
  const log = await openKafkaLog({
    brokers,
    clientId,
    logger,
    queueBytesMax,
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
    ...(minInsyncReplicas === undefined ? {} : { minInsyncReplicas }),
  })
  return prefixedLog(log, settings.topicPrefix)
}

async function authority(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new AppError('CONFIG_INVALID', 'KAFKA_SSL_CA_FILE cannot be read.', { cause: error })
  }
}
