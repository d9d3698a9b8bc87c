import { expect, test } from 'vitest'
import { readPosition } from '../../services/exporter/deliveries/position.ts'
import { deliveredKey, type DeliveryPlan, deliveryText, planKey } from '../../services/exporter/domain/delivery.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { MemoryBucketState, openMemoryBucket } from '../support/memory-bucket.ts'

const course = { project: 'p', stream: 's', createdAtMs: 1_000, course: 'main' }
const signal = new AbortController().signal

const planNumber = (sequence: number): DeliveryPlan => ({
  version: 1,
  project: 'p',
  stream: 's',
  sequence,
  layout: { format: 'avro', prefix: '', collections: null, filters: [], cadence_minutes: 1, target_bytes: 1 },
  span: { start_ms: 0, end_ms: null },
  manifests: [],
  cursor: {},
})

/** After this many deliveries, the last of them done or not; `first`: older ones were removed. */
function archiveAfter(newest: number, isDone: boolean, first = 1): MemoryBucketState {
  const state = new MemoryBucketState()
  for (let sequence = first; sequence <= newest; sequence += 1) {
    const bytes = Buffer.from(deliveryText(planNumber(sequence)))
    state.objects.set(planKey(course, sequence), { bytes, metadata: {} })
    if (sequence < newest || isDone) state.objects.set(deliveredKey(course, sequence), { bytes, metadata: {} })
  }
  // Neighbours, on both sides of it.
  for (const name of ['mail', 'maim', 'main2']) {
    state.objects.set(planKey({ ...course, course: name }, 9_999), { bytes: Buffer.alloc(0), metadata: {} })
  }
  return state
}

async function positionIn(state: MemoryBucketState) {
  const listed = { calls: 0, keys: 0 }
  const bucket = openMemoryBucket(state, async () => undefined)
  const counting: Bucket = {
    ...bucket,
    async *list(prefix, options) {
      listed.calls += 1
      for await (const found of bucket.list(prefix, options)) {
        listed.keys += 1
        yield found
      }
    },
  }
  return { position: await readPosition(counting, course, signal), listed }
}

test.each([1, 2, 511, 512, 513, 1_023, 1_024, 1_025, 1_535, 1_536, 1_537, 3_584, 3_585, 7_000])(
  'the newest of %i deliveries is found, done or not',
  async (newest) => {
    for (const isDone of [true, false]) {
      const { position } = await positionIn(archiveAfter(newest, isDone))
      expect(position).toEqual({ plan: planNumber(newest), isDone })
    }
  },
)

test('there may be none, and the oldest may be gone', async () => {
  expect((await positionIn(archiveAfter(0, true))).position).toEqual({ plan: undefined, isDone: true })
  const { position } = await positionIn(archiveAfter(5_000, false, 4_700))
  expect(position).toEqual({ plan: planNumber(5_000), isDone: false })
})

test('it takes few listings, however many there were', async () => {
  const { listed } = await positionIn(archiveAfter(50_000, true))
  expect(listed.calls).toBeLessThan(20)
  expect(listed.keys).toBeLessThan(1_100)
})
