import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Warehouse } from '../services/shared/warehouse/port.ts'

export interface EngineLoad {
  readonly warehouse: Warehouse
  readonly brokers: readonly string[]
  /** Events as JSON objects: see `fillLog`. */
  readonly topic: string
  readonly events: number
  /** Rows of a block, which becomes a part of the table: as many as the loader's batches have, since larger parts merge less. */
  readonly blockRows: number
  readonly count: () => Promise<number>
}

/**
 * Rows a second when ClickHouse reads the topic itself, by its Kafka engine and a materialized view into `events`; two
 * consumers, at least once. The clock runs until the last row is counted.
 */
export async function loadByKafkaEngine({
  warehouse,
  brokers,
  topic,
  events,
  blockRows,
  count,
}: EngineLoad): Promise<number> {
  const name = `engine_${randomUUID().replaceAll('-', '')}`
  await warehouse.command(
    `CREATE TABLE ${name} (project String, collection String, timestampMs Int64, createdAtMs Int64, id UUID, properties String)
     ENGINE = Kafka SETTINGS kafka_broker_list = '${brokers.join(',')}', kafka_topic_list = '${topic}',
       kafka_group_name = '${name}', kafka_format = 'JSONEachRow', kafka_num_consumers = 2,
       kafka_thread_per_consumer = 1, kafka_max_block_size = ${blockRows}, kafka_flush_interval_ms = 500`,
  )
  const started = performance.now()
  await warehouse.command(
    `CREATE MATERIALIZED VIEW ${name}_view TO events AS
     SELECT project, collection, fromUnixTimestamp64Milli(timestampMs, 'UTC') AS timestamp,
       fromUnixTimestamp64Milli(createdAtMs, 'UTC') AS created_at, id, CAST(body, 'JSON(max_dynamic_paths = 64)') AS properties,
       body, 'engine' AS log_epoch, log_partition, log_offset
     FROM (SELECT * EXCEPT properties, properties AS body, _partition AS log_partition, _offset AS log_offset FROM ${name})`,
  )
  try {
    const deadline = performance.now() + 180_000
    for (let seen = 0; seen < events; seen = await count()) {
      if (performance.now() > deadline) throw new Error(`the Kafka engine loaded ${seen} of ${events} events`)
      await delay(20)
    }
    return events / ((performance.now() - started) / 1000)
  } finally {
    await warehouse.command(`DROP VIEW IF EXISTS ${name}_view`)
    await warehouse.command(`DROP TABLE IF EXISTS ${name}`)
  }
}
