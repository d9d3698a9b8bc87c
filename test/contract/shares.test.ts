import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, inject } from 'vitest'
import { openKafkaLog, type KafkaLogSettings } from '../../services/shared/log/kafka/open.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import { prefixedLog } from '../../services/shared/log/prefixed.ts'
import { sharesContract } from './shares.ts'

sharesContract('LMDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-shares-'))
  const times = { sessionTimeoutMs: 2_000, handoverTimeoutMs: 1_000 }
  const [first, second] = [await openLmdbLog({ folder, ...times }), await openLmdbLog({ folder, ...times })]
  return {
    first,
    second,
    async close() {
      await first.close()
      await second.close()
      await rm(folder, { recursive: true })
    },
  }
})

const kafka = inject('kafka')
const brokers = 'brokers' in kafka ? kafka.brokers : []

describe.skipIf(brokers.length === 0)('on a real Kafka', () => {
  const settings: KafkaLogSettings = {
    brokers,
    clientId: 'shares',
    logger: { warn: () => {} },
    sessionTimeoutMs: 3_000,
    rebalanceTimeoutMs: 2_000,
    heartbeatMs: 200,
    replicationFactor: 1,
  }
  sharesContract('Kafka', async () => {
    const prefix = `shares-${process.pid}-`
    const [first, second] = [await openKafkaLog(settings), await openKafkaLog(settings)]
    return {
      first: prefixedLog(first, prefix),
      second: prefixedLog(second, prefix),
      async close() {
        await first.close()
        await second.close()
      },
    }
  })
})
