import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { bodyOf } from '../../shared/bucket/body.ts'
import { keyPart } from '../../shared/bucket/domain/key-part.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError, isRetryable } from '../../shared/errors.ts'
import { compileMatcher, parseForMatching } from '../../shared/filters/evaluate.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import type { Slots } from '../../shared/slots.ts'
import { renderPrefix } from '../../shared/streams/prefix.ts'
import { type PutOutcome, putOnce } from '../archive/put-once.ts'
import {
  readLines,
  type ReadManifest,
  readNewest,
  readObject,
  readObjectNow,
  unreadableLine,
} from '../archive/read-archive.ts'
import { sha256Of } from '../archive/sha256.ts'
import { HOUR_MS } from '../domain/archive-key.ts'
import {
  type CourseName,
  type Delivered,
  type DeliveredFile,
  type DeliveryPlan,
  deliveryText,
  fileStem,
} from '../domain/delivery.ts'
import type { ArchivedEvent } from '../domain/line.ts'
import type { ArchivedObject } from '../domain/manifest.ts'
import type { Kept } from '../formats/format.ts'
import { formatOf } from '../formats/index.ts'
import { type Draft, draftOf } from '../spool/draft.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { type FileGroup, GroupSpool } from './group-spool.ts'
import type { DeliveryMetrics } from './metrics.ts'
import type { DeliverySettings } from './settings.ts'
import { isWanted } from './survey.ts'

export interface CarryOutDeps {
  readonly archive: Bucket
  readonly readManifest: ReadManifest
  readonly folder: string
  readonly budget: MemoryBudget
  readonly settings: DeliverySettings
  readonly metrics: DeliveryMetrics
  /** Of the process, for making files: not held while they are sent. */
  readonly making: Slots
  /** For sending them. */
  readonly sending: Slots
}

const NAME_PART_MAX = 64

interface Made {
  readonly key: string
  readonly draft: Draft
  readonly contentSha256: string
  readonly kept: Kept
}

const stopped = (): AppError => new AppError('SHUTTING_DOWN', 'The delivery is left for later.')

/**
 * Writes a plan's files to the course's bucket, then their manifest. Files that an earlier attempt wrote are found and left.
 * What a file holds depends on the plan and on the archive alone. `delivered` has the files of whole collections that this
 * process has sent, so that the next attempt does not make them again. Rejects as the buckets do, and with ARCHIVE_DAMAGED.
 */
export async function carryOut(
  deps: CarryOutDeps,
  target: Bucket,
  course: CourseName,
  plan: DeliveryPlan,
  delivered: Map<string, readonly DeliveredFile[]>,
  signal: AbortSignal,
): Promise<Delivered> {
  const files: DeliveredFile[] = []
  for (const [collection, objects] of await wantedObjects(deps, plan, signal)) {
    const known = delivered.get(collection)
    const found = known ?? (await deliverCollection(deps, target, course, plan, collection, objects, signal))
    delivered.set(collection, found)
    files.push(...found)
  }
  const done: Delivered = {
    version: 1,
    project: plan.project,
    stream: plan.stream,
    sequence: plan.sequence,
    format: plan.layout.format,
    events: files.reduce((sum, { events }) => sum + events, 0),
    files,
  }
  if (files.length > 0) {
    const text = Buffer.from(deliveryText(done))
    const sha256 = sha256Of(text)
    const key = `${rootOf(plan.layout.prefix, plan)}_manifests/${fileStem(course, plan.sequence)}.json`
    const options = { contentType: 'application/json', signal }
    const { outcome } = await putOnce(target, key, bodyOf(text), { sha256, contentSha256: sha256 }, options)
    if (outcome === 'mismatched') throw taken(key)
  }
  return done
}

const taken = (key: string): AppError =>
  new AppError('BUCKET_REFUSED', 'Something else has the name of a file.', { details: { reason: 'invalid', key } })

/** What a prefix begins with for every event: where the manifests go. */
function rootOf(template: string, { project, stream }: DeliveryPlan): string {
  const known = template.replaceAll('{project}', project).replaceAll('{stream}', stream)
  const constant = known.slice(0, known.includes('{') ? known.indexOf('{') : known.length)
  return constant.slice(0, constant.lastIndexOf('/') + 1)
}

/** Of a range: the key of its first manifest, and what its newest one says of an object. */
interface WantedObject {
  readonly manifest: string
  readonly object: ArchivedObject
}

/** By collection, in the order in which their events are written: of hours, then of partitions and offsets. */
async function wantedObjects(
  { archive, readManifest }: CarryOutDeps,
  plan: DeliveryPlan,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly WantedObject[]>> {
  const found = new Map<string, WantedObject[]>()
  for (const key of plan.manifests.toSorted()) {
    const { manifest } = await readNewest(archive, key, signal, readManifest)
    for (const object of manifest.objects) {
      if (!isWanted(object, plan.project, plan.layout, plan.span)) continue
      const known = found.get(object.collection)
      const wanted = { manifest: key, object }
      if (known === undefined) found.set(object.collection, [wanted])
      else known.push(wanted)
    }
  }
  return new Map(
    [...found.entries()]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([collection, objects]) => [
        collection,
        objects.toSorted(({ object: a }, { object: b }) => (a.hour < b.hour ? -1 : a.hour > b.hour ? 1 : 0)),
      ]),
  )
}

async function deliverCollection(
  deps: CarryOutDeps,
  target: Bucket,
  course: CourseName,
  plan: DeliveryPlan,
  collection: string,
  objects: readonly WantedObject[],
  signal: AbortSignal,
): Promise<readonly DeliveredFile[]> {
  const format = formatOf(plan.layout.format)
  const spool = new GroupSpool(deps.folder, deps.budget, plan.layout.target_bytes, format)
  const files: DeliveredFile[] = []
  let isMaking = await deps.making.take(signal)
  if (!isMaking) throw stopped()
  try {
    for (const wanted of objects) {
      if (format.kind !== 'whole' && goesTogether(plan, wanted.object))
        await gatherLines(deps, plan, spool, wanted, signal)
      else await gatherEvents(deps, plan, spool, wanted, signal)
    }
    for (const group of spool.groups) {
      if (!isMaking) isMaking = await deps.making.take(signal)
      if (!isMaking) throw stopped()
      const made = await make(deps, course, plan, collection, spool, group)
      try {
        // Making is other streams' turn while this one's bucket takes its time.
        deps.making.give()
        isMaking = false
        files.push(await send(deps, target, plan, collection, group, made, signal))
      } finally {
        await made.draft.dispose()
      }
    }
    return files
  } finally {
    if (isMaking) deps.making.give()
    await spool.close()
  }
}

/** Whether all events of an object are wanted, and go to one place. */
function goesTogether({ layout, span }: DeliveryPlan, { hour }: ArchivedObject): boolean {
  const hourMs = Date.parse(hour)
  const isWithin = span.start_ms <= hourMs && (span.end_ms === null || hourMs + HOUR_MS <= span.end_ms)
  const cadenceMs = layout.cadence_minutes * 60_000
  const isOnePlace = cadenceMs === HOUR_MS || (HOUR_MS % cadenceMs === 0 && !layout.prefix.includes('{minute}'))
  return isWithin && isOnePlace && layout.filters.length === 0
}

async function gatherLines(
  { archive }: CarryOutDeps,
  { layout, project, stream }: DeliveryPlan,
  spool: GroupSpool,
  { manifest, object }: WantedObject,
  signal: AbortSignal,
): Promise<void> {
  const { collection, hour } = object
  const prefix = renderPrefix(layout.prefix, { project, stream, collection, timeMs: Date.parse(hour) })
  for await (const lines of readObjectNow(readLines, archive, manifest, object, signal)) {
    spool.addLines(prefix, lines, () => unreadableLine(object))
    await spool.settle()
  }
}

async function gatherEvents(
  { archive, metrics }: CarryOutDeps,
  plan: DeliveryPlan,
  spool: GroupSpool,
  { manifest, object }: WantedObject,
  signal: AbortSignal,
): Promise<void> {
  const matches = matcherOf(plan)
  const cadenceMs = plan.layout.cadence_minutes * 60_000
  const { project, stream } = plan
  const { collection } = object
  // Events that come one after the other mostly go to one place.
  let prefix = { timeMs: Number.NaN, text: '' }
  for await (const batch of readObjectNow(readObject, archive, manifest, object, signal)) {
    for (const event of batch) {
      if (!matches(event)) {
        metrics.filtered.inc()
        continue
      }
      const timeMs = Math.floor(event.createdAtMs / cadenceMs) * cadenceMs
      if (timeMs !== prefix.timeMs) {
        prefix = { timeMs, text: renderPrefix(plan.layout.prefix, { project, stream, collection, timeMs }) }
      }
      spool.add(prefix.text, event)
    }
    await spool.settle()
  }
}

function matcherOf({ layout, span }: DeliveryPlan): (event: ArchivedEvent) => boolean {
  const filters = parseFilters(layout.filters)
  const matcher = filters.length === 0 ? undefined : compileMatcher(filters)
  return (event) => {
    const { createdAtMs, timestampMs, id, properties } = event
    if (createdAtMs < span.start_ms || (span.end_ms !== null && createdAtMs >= span.end_ms)) return false
    if (matcher === undefined) return true
    return matcher({ createdAtMs, timestampMs, id, properties: parseForMatching(properties.toString('utf8')) })
  }
}

async function make(
  { folder }: CarryOutDeps,
  course: CourseName,
  plan: DeliveryPlan,
  collection: string,
  spool: GroupSpool,
  group: FileGroup,
): Promise<Made> {
  const format = formatOf(plan.layout.format)
  const part = String(group.part).padStart(4, '0')
  const key = `${group.prefix}${namePart(collection)}-${fileStem(course, plan.sequence)}-${part}.${format.extension}`
  if (format.kind === 'blocks') {
    const packed = await spool.finish(group)
    const draft = { ...packed, dispose: async () => packed.dispose() }
    return { key, draft, contentSha256: packed.contentSha256, kept: {} }
  }
  const content = createHash('sha256').update(`${format.name}\n`)
  async function* lines(): AsyncGenerator<Buffer> {
    for await (const chunk of spool.lines(group)) {
      content.update(chunk)
      yield chunk
    }
  }
  if (format.kind === 'stream') {
    const draft = await draftOf(format.pack(lines()), folder)
    return { key, draft, contentSha256: content.digest('hex'), kept: {} }
  }
  for await (const chunk of spool.lines(group)) content.update(chunk)
  let kept: Kept = {}
  const chunks = format.encode(
    () => spool.events(group),
    (values) => {
      kept = values
    },
    new Map(Object.entries(plan.columns?.[collection] ?? {})),
  )
  const draft = await draftOf(chunks, folder)
  return { key, draft, contentSha256: content.digest('hex'), kept }
}

async function send(
  { metrics, settings, sending }: CarryOutDeps,
  target: Bucket,
  plan: DeliveryPlan,
  collection: string,
  { events }: FileGroup,
  made: Made,
  signal: AbortSignal,
): Promise<DeliveredFile> {
  if (!(await sending.take(signal))) throw stopped()
  const { draft, contentSha256, kept } = made
  try {
    const { contentType, extension } = formatOf(plan.layout.format)
    const stamp = { sha256: draft.sha256, contentSha256 }
    const patience = AbortSignal.any([signal, AbortSignal.timeout(settings.sendMs)])
    const put = async (name: string): Promise<PutOutcome> => {
      const options = { contentType, signal: patience }
      const outcome = await severalTimes(settings, patience, async () =>
        putOnce(target, name, draft.body, stamp, options),
      )
      metrics.files.inc({ outcome: outcome.outcome })
      return outcome
    }
    let key = made.key
    let found = await put(key)
    if (found.outcome === 'mismatched') {
      // Events were erased between two attempts, or somebody else wrote there: it is left alone, and the manifest names this one.
      key = besideIt(key, contentSha256, extension)
      found = await put(key)
      if (found.outcome === 'mismatched') throw taken(key)
    }
    const { bytes, sha256 } = found.outcome === 'matched' ? found : { bytes: draft.body.bytes, sha256: draft.sha256 }
    metrics.events.inc(events)
    metrics.bytes.inc(bytes)
    for (const [reason, count] of Object.entries(kept)) metrics.kept.inc({ reason }, count)
    return { key, collection, events, bytes, sha256, kept: { ...kept } }
  } finally {
    sending.give()
  }
}

/** Another name for a file with this content, in the same place. */
const besideIt = (key: string, contentSha256: string, extension: string): string =>
  `${key.slice(0, -extension.length - 1)}-${contentSha256.slice(0, 8)}.${extension}`

/** A collection as it stands in a file's name, which has to be short; two that begin alike are told apart. */
function namePart(collection: string): string {
  const part = keyPart(collection)
  if (part.length <= NAME_PART_MAX) return part
  const hash = sha256Of(collection).slice(0, 16)
  return `${part.slice(0, NAME_PART_MAX - hash.length - 1)}-${hash}`
}

/** A file that is made is worth a few tries before the delivery as a whole waits. */
async function severalTimes<T>(
  { triesMax, retryDelayMs }: DeliverySettings,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (tries >= triesMax || signal.aborted || !isRetryable(error)) throw error
    }
    await delay(retryDelayMs * tries, undefined, { signal }).catch(() => undefined)
  }
}
