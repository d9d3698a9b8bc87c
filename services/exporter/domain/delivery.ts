import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** What a stream's files look like, as it was when the delivery was decided on. */
const Layout = Type.Object({
  format: Type.Enum(['jsonl.gz', 'jsonl.zst', 'csv.gz', 'avro', 'parquet']),
  prefix: Type.String(),
  collections: Type.Union([Type.Null(), Type.Array(Type.String())]),
  /** In the API's JSON form. */
  filters: Type.Array(Type.Unknown()),
  cadence_minutes: Type.Integer({ minimum: 1 }),
  target_bytes: Type.Integer({ minimum: 1 }),
})
export type Layout = Static<typeof Layout>

/** Only events that arrived in this time; milliseconds since 1970, end exclusive, null: no end. */
const Span = Type.Object({ start_ms: Type.Integer(), end_ms: Type.Union([Type.Null(), Type.Integer()]) })
export type Span = Static<typeof Span>

/** `EPOCH/PARTITION` → the offset from which on nothing is delivered yet. */
const Cursor = Type.Record(Type.String(), Type.String({ pattern: '^[0-9]{1,20}$' }))
export type Cursor = Static<typeof Cursor>

const Columns = Type.Record(Type.String(), Type.Record(Type.String(), Type.Integer({ minimum: 0 })))
export type Columns = Static<typeof Columns>

/**
 * Decided first, durably, by one writer; then files are written that depend on it and on the archive alone; then `Delivered`
 * says so. So a delivery that broke off is done again with the same files under the same names.
 */
export const DeliveryPlan = Type.Object({
  version: Type.Literal(1),
  project: Type.String(),
  stream: Type.String(),
  /** From 1 on; one after the other. */
  sequence: Type.Integer({ minimum: 1 }),
  layout: Layout,
  span: Span,
  /** Of the archive, the first ones of the ranges that hold something of it; newer ones may stand in their places. */
  manifests: Type.Array(Type.String()),
  /** From where the next delivery goes on. */
  cursor: Cursor,
  /** Of formats with columns, those that were known then: by collection and dotted name, the kinds of their values as bits. */
  columns: Type.Optional(Columns),
})
export type DeliveryPlan = Static<typeof DeliveryPlan>

const DeliveredFile = Type.Object({
  key: Type.String(),
  collection: Type.String(),
  events: Type.Integer({ minimum: 1 }),
  bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String(),
  /** Values that the format could not say in its own way and holds as text, by reason. */
  kept: Type.Record(Type.String(), Type.Integer()),
})
export type DeliveredFile = Static<typeof DeliveredFile>

/** What a delivery wrote; a copy of it lies in the stream's own bucket. */
export const Delivered = Type.Object({
  version: Type.Literal(1),
  project: Type.String(),
  stream: Type.String(),
  sequence: Type.Integer({ minimum: 1 }),
  format: Layout.properties.format,
  events: Type.Integer({ minimum: 0 }),
  files: Type.Array(DeliveredFile),
})
export type Delivered = Static<typeof Delivered>

const plans = Compile(DeliveryPlan)
const dones = Compile(Delivered)

const parsed = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

/** Undefined for bytes that are no plan. */
export function parsePlan(bytes: Buffer): DeliveryPlan | undefined {
  const value = parsed(bytes)
  return plans.Check(value) ? value : undefined
}

/** Undefined for bytes that are none. */
export function parseDelivered(bytes: Buffer): Delivered | undefined {
  const value = parsed(bytes)
  return dones.Check(value) ? value : undefined
}

export const deliveryText = (value: DeliveryPlan | Delivered): string => `${JSON.stringify(value, null, 1)}\n`

const SEQUENCE_DIGITS = 10
export const DELIVERIES_PREFIX = 'deliveries/'

/** One course of deliveries: a stream in one of its lives, going on for ever, or one of its back-fills. */
export interface CourseName {
  readonly project: string
  readonly stream: string
  /** When the stream was made: another one of the same name is another life. */
  readonly createdAtMs: number
  /** `main`, or the id of a back-fill. */
  readonly course: string
}

/** All that is kept of a project's deliveries. */
export const deliveriesPrefix = (project: string): string => `${DELIVERIES_PREFIX}${project}/`

export const coursePrefix = ({ project, stream, createdAtMs, course }: CourseName): string =>
  `${DELIVERIES_PREFIX}${project}/${stream}/${createdAtMs}/${course}/`

const numbered = (sequence: number): string => String(sequence).padStart(SEQUENCE_DIGITS, '0')

export const planKey = (course: CourseName, sequence: number): string =>
  `${coursePrefix(course)}${numbered(sequence)}.plan.json`
export const deliveredKey = (course: CourseName, sequence: number): string =>
  `${coursePrefix(course)}${numbered(sequence)}.done.json`

/** A key that lies behind all of a course's deliveries up to this one, and before those that follow. */
export const afterDelivery = (course: CourseName, sequence: number): string =>
  `${coursePrefix(course)}${numbered(sequence)}~`

/** The sequence and the kind of a course's object; undefined for any other key. */
export function parseCourseKey(key: string): { readonly sequence: number; readonly kind: 'plan' | 'done' } | undefined {
  const [, sequence, kind] = /\/(\d{10})\.(plan|done)\.json$/.exec(key) ?? []
  return kind === 'plan' || kind === 'done' ? { sequence: Number(sequence), kind } : undefined
}

/** What tells the files of a course's deliveries apart, also from those of an earlier stream of the name; stands in their names. */
export const fileStem = ({ stream, createdAtMs, course }: CourseName, sequence: number): string =>
  `${stream}-${createdAtMs.toString(36)}${course === 'main' ? '' : `-${course}`}-${numbered(sequence)}`
