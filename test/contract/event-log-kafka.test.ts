import { describe, inject } from 'vitest'
import { openKafkaLog, type KafkaLogSettings } from '../../services/shared/log/kafka/open.ts'
import { eventLogContract } from './event-log.ts'

const kafka = inject('kafka')
const brokers = 'brokers' in kafka ? kafka.brokers : []

describe.skipIf(brokers.length === 0)('on a real Kafka', () => {
  const settings: KafkaLogSettings = {
    brokers,
    clientId: 'contract',
    logger: { warn: () => {} },
    sessionTimeoutMs: 3_000,
    rebalanceTimeoutMs: 2_000,
    heartbeatMs: 200,
    replicationFactor: 1,
  }
  eventLogContract({
    name: 'Kafka',
    sweeps: false,
    takeoverMsMax: 15_000,
    async open(options = {}) {
      const log = await openKafkaLog({ ...settings, ...options })
      return {
        log,
        openSecond: () => openKafkaLog(settings),
        readAheadBytes: () => log.readAheadBytes(),
        close: () => log.close(),
      }
    },
  })
})
