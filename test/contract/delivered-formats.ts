import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { DELIVERY_DEFAULTS } from '../../services/exporter/deliveries/settings.ts'
import type { Course, CourseState } from '../../services/exporter/deliveries/stream.ts'
import { runDeliveries } from '../../services/exporter/deliveries/worker.ts'
import { EXPORTER_DEFAULTS } from '../../services/exporter/settings.ts'
import { runExporter } from '../../services/exporter/worker.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../services/shared/events/event.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../services/shared/log/topics.ts'
import { STREAM_FORMATS } from '../../services/shared/streams/model.ts'

const PARTITIONS = 2
const PATIENCE_MS = 60_000
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** Lets an exporter and a delivery of each format, under `FORMAT/COLLECTION/`, carry events through `archive` to `target`. */
export async function deliverInEachFormat(
  events: readonly LoggedEvent[],
  archive: Bucket,
  target: Bucket,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-delivered-'))
  const log = await openLmdbLog({ folder: join(folder, 'log') })
  const stop = new AbortController()
  const running: Promise<void>[] = []
  const ended = Promise.withResolvers<never>()
  ended.promise.catch(() => undefined)
  const run = (work: Promise<void>): void => {
    work.catch(ended.reject)
    running.push(work)
  }
  const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
    const deadline = performance.now() + PATIENCE_MS
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error('it did not come to that')
      await Promise.race([delay(10), ended.promise])
    }
  }
  try {
    await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))
    await log.append(
      EVENTS_TOPIC,
      events.map((event, i) => ({ partition: i % PARTITIONS, key: null, value: encodeEvent(event) })),
    )
    const registry = new Registry()
    const common = { log, folder, registry, logger: silent, now: Date.now }
    run(runExporter({ ...common, bucket: archive, settings: { ...EXPORTER_DEFAULTS, rangeAgeMs: 50 } }, stop.signal))
    await until(async () => {
      const exported = await registry.getSingleMetric('exporter_events_exported_total')?.get()
      return exported?.values[0]?.value === events.length
    })
    const states = new Map<string, CourseState>()
    const streams = {
      courses: () => STREAM_FORMATS.map(courseOf),
      open: async () => ({ ...target, close: async () => undefined }),
      report: ({ stream }: Course, state: CourseState) => void states.set(stream, state),
    }
    const settings = { ...DELIVERY_DEFAULTS, tickMs: 10, minuteMs: 50 }
    run(runDeliveries({ ...common, archive, streams, settings }, stop.signal))
    await until(() => STREAM_FORMATS.every((format) => states.get(format)?.events === events.length))
  } finally {
    stop.abort()
    await Promise.allSettled(running)
    await log.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const courseOf = (format: Course['layout']['format']): Course => ({
  project: 'p',
  stream: format,
  createdAtMs: 1_000,
  course: 'main',
  version: '1',
  span: { start_ms: 0, end_ms: null },
  layout: {
    format,
    prefix: '{stream}/{collection}/',
    collections: null,
    filters: [],
    cadence_minutes: 1,
    target_bytes: 1e9,
  },
})
