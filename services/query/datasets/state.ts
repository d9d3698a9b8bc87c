/** What is known of a dataset's intervals, and what has to be computed of them. */

/** An interval, in milliseconds since 1970, `endMs` outside. */
export interface Bucket {
  readonly startMs: number
  readonly endMs: number
}

/** Up to where a partition of the log had been loaded. */
export interface Mark {
  readonly epoch: string
  readonly partition: number
  /** The highest that was seen. */
  readonly offset: number
  /** What was seen the time before: rows after it are looked at once more, see `newMarks`. -1: nothing. */
  readonly before: number
}

/** An interval that has cells. */
export interface MadeBucket extends Bucket {
  /** In which they were made. */
  readonly generation: string
  /** When, in milliseconds since 1970. */
  readonly madeAtMs: number
}

/** Older cells are made anew, well before the table drops them. */
const AGE_MS_MAX = 30 * 86_400_000

/** What became of the last refresh. */
export interface DatasetState {
  readonly marks: readonly Mark[]
  readonly made: readonly MadeBucket[]
  /** Generations of the state before: who read that may still be after their cells. */
  readonly former: readonly string[]
}

export const NO_STATE: DatasetState = { marks: [], made: [], former: [] }

/** An interval in which there are rows after a partition's mark, and the highest of their offsets. */
export interface Change {
  readonly bucket: number
  readonly epoch: string
  readonly partition: number
  readonly offset: number
}

/** The same for intervals that begin and end at the same moments. */
export const sameBucket = ({ startMs, endMs }: Bucket): string => `${startMs}/${endMs}`
const samePartition = ({ epoch, partition }: Pick<Mark, 'epoch' | 'partition'>): string => `${epoch}/${partition}`

export const bucketsOf = (edges: readonly number[]): readonly Bucket[] =>
  edges.slice(0, -1).map((startMs, i) => ({ startMs, endMs: edges[i + 1] ?? startMs }))

/** Which of the intervals have no cells, old ones, or rows that their cells may not know; by their places. */
export function outdated(
  state: DatasetState,
  buckets: readonly Bucket[],
  changes: readonly Change[],
  nowMs: number,
): readonly number[] {
  const made = new Set(state.made.filter(({ madeAtMs }) => nowMs - madeAtMs < AGE_MS_MAX).map(sameBucket))
  const changed = new Set(changes.map(({ bucket }) => bucket))
  return [...buckets.keys()].filter((i) => {
    const bucket = buckets[i]
    return bucket !== undefined && (changed.has(i) || !made.has(sameBucket(bucket)))
  })
}

/** Places that follow each other, as first and last. */
export function runsOf(places: readonly number[]): readonly (readonly [first: number, last: number])[] {
  const runs: [number, number][] = []
  for (const place of places) {
    const run = runs.at(-1)
    if (run !== undefined && run[1] === place - 1) run[1] = place
    else runs.push([place, place])
  }
  return runs
}

/**
 * After rows up to the changes' offsets were seen. An insert's rows come to be seen month by month, so that a row may be
 * seen before one of a smaller offset: what was new is new once more the next time.
 */
export function newMarks(state: DatasetState, changes: readonly Change[]): readonly Mark[] {
  const marks = new Map(state.marks.map((mark) => [samePartition(mark), { ...mark, before: mark.offset }]))
  for (const { epoch, partition, offset } of changes) {
    const key = samePartition({ epoch, partition })
    const known = marks.get(key) ?? { epoch, partition, offset: -1, before: -1 }
    if (offset > known.offset) marks.set(key, { ...known, offset })
  }
  return [...marks.values()]
}

/** With the outdated intervals made anew in `generation`, and without those that left the timeframe. */
export function withMade(
  state: DatasetState,
  buckets: readonly Bucket[],
  places: readonly number[],
  generation: string,
  madeAtMs: number,
): DatasetState['made'] {
  const known = new Map(state.made.map((one) => [sameBucket(one), one]))
  const anew = new Set(places)
  return buckets.flatMap((bucket, i) =>
    anew.has(i) ? { ...bucket, generation, madeAtMs } : (known.get(sameBucket(bucket)) ?? []),
  )
}

export const generationsOf = ({ made }: Pick<DatasetState, 'made'>): readonly string[] => [
  ...new Set(made.map(({ generation }) => generation)),
]

/** As text, to be kept. Generations are few and intervals many. */
export function stateText({ marks, made, former }: DatasetState): string {
  const generations = new Map(made.map(({ generation, madeAtMs }) => [generation, madeAtMs]))
  const places = new Map([...generations.keys()].map((generation, i) => [generation, i]))
  return JSON.stringify({
    marks: marks.map(({ epoch, partition, offset, before }) => [epoch, partition, offset, before]),
    generations: [...generations],
    made: made.map(({ startMs, endMs, generation }) => [startMs, endMs, places.get(generation)]),
    former,
  })
}

/** What `stateText` wrote. */
export function parseState(text: string): DatasetState {
  const { marks, generations, made, former } = JSON.parse(text) as {
    readonly marks: readonly (readonly [string, number, number, number])[]
    readonly generations: readonly (readonly [string, number])[]
    readonly made: readonly (readonly [number, number, number])[]
    readonly former: readonly string[]
  }
  return {
    marks: marks.map(([epoch, partition, offset, before]) => ({ epoch, partition, offset, before })),
    made: made.map(([startMs, endMs, of]) => {
      const [generation = '', madeAtMs = 0] = generations[of] ?? []
      return { startMs, endMs, generation, madeAtMs }
    }),
    former,
  }
}
