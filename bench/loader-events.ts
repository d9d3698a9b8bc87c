import { encodeEvent } from '../services/shared/events/codec.ts'
import type { LoggedEvent } from '../services/shared/events/event.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC } from '../services/shared/log/topics.ts'

const T0 = Date.UTC(2026, 0, 1)
const FILL = 5_000

/** Event number `n`: about 250 bytes of properties, in one of five collections. */
export function eventOf(n: number): LoggedEvent {
  const body = {
    page: `/products/${n % 977}`,
    price: (n % 10_007) / 100,
    quantity: n % 7,
    customer: { id: `customer-${n % 5_003}`, plan: n % 3 === 0 ? 'free' : 'paid', country: ['SE', 'DE', 'FR'][n % 3] },
    agent: { name: 'Firefox', version: 120 + (n % 9), mobile: n % 2 === 0 },
    referrer: `https://example.com/${n % 31}`,
    test: n % 11 === 0,
  }
  const id = Buffer.alloc(16)
  id.writeUInt32BE(n)
  return {
    project: '5f0c00000000000000000001',
    collection: `collection-${n % 5}`,
    id,
    timestampMs: T0 + n * 10,
    createdAtMs: T0 + n * 10,
    repeatKey: null,
    properties: Buffer.from(JSON.stringify(body)),
  }
}

/** The same event for ClickHouse's Kafka engine, which does not read Avro's single-object encoding: a JSON object. */
function jsonOf({ project, collection, id, timestampMs, createdAtMs, properties }: LoggedEvent): Buffer {
  const hex = id.toString('hex')
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  const row = { project, collection, timestampMs, createdAtMs, id: uuid, properties: properties.toString() }
  return Buffer.from(JSON.stringify(row))
}

/** Appends events 0 to `events` - 1, spread over the partitions. */
export async function fillLog(
  log: EventLog,
  options: { readonly events: number; readonly partitions: number; readonly topic?: string; readonly json?: boolean },
): Promise<void> {
  const { events, partitions, topic = EVENTS_TOPIC } = options
  const encode = options.json === true ? jsonOf : encodeEvent
  for (let start = 0; start < events; start += FILL) {
    const messages = Array.from({ length: Math.min(FILL, events - start) }, (_, index) => {
      const n = start + index
      return { partition: n % partitions, key: null, value: encode(eventOf(n)) }
    })
    await log.append(topic, messages)
  }
}
