/**
 * The log: partitioned, ordered, durable. Two adapters keep this promise (`lmdb/` on one machine, `kafka/` on a
 * cluster) and one contract suite (`test/contract/event-log.ts`) holds both to it.
 */

/** What goes in. The partition is always the caller's choice: see `partitionOfKey`. A null value deletes its key in a compacted topic. */
export interface LogMessage {
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** What comes out. Offsets grow within a partition; they may have gaps (compaction, retention). */
export interface LogRecord {
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Milliseconds since 1970 by the clock of the log. */
  readonly appendedAtMs: number
}

export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** Keeps the newest value of each key for ever, instead of everything for a while. */
  readonly compacted: boolean
  /** Not compacted only. Records older than this may go. */
  readonly retentionMs?: number
  /** Not compacted only. Per partition; the oldest records go first. */
  readonly retentionBytes?: number
}

export interface TopicInfo {
  readonly name: string
  readonly partitions: number
  /** Changes when a topic is deleted and made again, so that (epoch, partition, offset) names a record once and for all. At most 36 characters of [A-Za-z0-9_-]. */
  readonly epoch: string
}

export interface PartitionEnds {
  readonly partition: number
  /** Offset of the oldest record that is still there (= end when empty). */
  readonly start: bigint
  /** Offset that the next record will get. */
  readonly end: bigint
}

export interface CommittedOffset {
  /** The next offset to work on. */
  readonly offset: bigint
  /** What the last commit said about it; '' when it said nothing. At most 4,096 bytes. */
  readonly metadata: string
}

export interface ReadOptions {
  /** At least one record is returned when there is one, whatever its size. */
  readonly maxBytes: number
  readonly maxRecords: number
  /** How long to wait for a first record, in milliseconds. After it, an empty array. */
  readonly waitMs: number
}

/**
 * One partition of one topic, held by this process for one consumer group: nobody else can commit while it is held.
 * It is given to a handler as an argument and lives until the handler's promise settles.
 */
export interface PartitionClaim {
  readonly topic: string
  readonly partition: number
  readonly epoch: string
  /** As it was when the claim was made. Reading starts at its offset. */
  readonly committed: CommittedOffset
  /**
   * Aborts when the claim is lost or the consumer is asked to stop. In both cases the handler finishes or abandons its
   * current unit of work and returns; until it has, a commit still works if the claim is in fact still held.
   */
  readonly signal: AbortSignal
  /** The next records in offset order, each once. Resolves early, and possibly empty, when `signal` aborts. */
  read(options: ReadOptions): Promise<readonly LogRecord[]>
  /**
   * Durable when it resolves. Rejects with LOG_FENCED when this process no longer holds the partition: nothing was
   * committed, and the work in hand belongs to somebody else now. Rejects with LOG_UNAVAILABLE when the answer is unknown.
   */
  commit(offset: bigint, metadata?: string): Promise<void>
}

export type ClaimHandler = (claim: PartitionClaim) => Promise<void>

export interface ConsumeOptions {
  readonly topic: string
  readonly group: string
  /** Stops the consumer: every claim's signal aborts, handlers finish, the group is left, the promise resolves. */
  readonly signal: AbortSignal
  /** Ceiling for records read ahead of the handlers, over all claims together. Default 64 MiB. */
  readonly bufferBytesMax?: number
}

/** Where following begins; the start unless said otherwise. */
export type FollowFrom = 'start' | 'end'

export interface EventLog {
  readonly kind: 'lmdb' | 'kafka'

  /**
   * Makes topics that are missing, and checks those that are there. Safe from several processes at once.
   * Rejects with CONFIG_INVALID when one that is there has fewer partitions than asked for or the other cleanup rule.
   */
  ensureTopics(topics: readonly TopicSpec[]): Promise<readonly TopicInfo[]>

  /** Rejects with LOG_UNAVAILABLE when the topic is not there. */
  describe(topic: string): Promise<TopicInfo>

  ends(topic: string): Promise<readonly PartitionEnds[]>

  /**
   * Resolves once every message is durable, with the offset of this call's last message in each partition it used.
   * Rejects with LOG_BUSY, having taken nothing, when the byte-bounded queue in front of the log is full; with
   * LOG_UNAVAILABLE when the log did not confirm: some of the messages may then be in it all the same.
   * Small calls are gathered into larger writes; the messages of one call keep their order within a partition.
   */
  append(topic: string, messages: readonly LogMessage[]): Promise<ReadonlyMap<number, bigint>>

  /**
   * Hands every record of every partition to `apply`, from the start of the topic on, or only what is appended from now
   * on (`from: 'end'`), and for ever, without a consumer group; order holds within a partition. `caughtUp` resolves once
   * everything that was in the topic at the call has been applied, or passed over: what is appended after it reaches
   * `apply`. `done` settles when `signal` aborts, or rejects when following broke off for good.
   * A record appended by any process reaches `apply` within half a second.
   */
  follow(
    topic: string,
    apply: (record: LogRecord) => void,
    signal: AbortSignal,
    from?: FollowFrom,
  ): { readonly caughtUp: Promise<void>; readonly done: Promise<void> }

  /**
   * Joins the group and calls `handler` once for each partition that this process gets, each time it gets it. All
   * members of a group together hold each partition at most once, as far as commits can tell (a stale holder's are
   * refused). A handler that rejects ends `consume` with its error, after the other handlers have been stopped.
   */
  consume(options: ConsumeOptions, handler: ClaimHandler): Promise<void>

  /** What a group has committed, for lag and audits; a partition without a commit is left out. */
  committed(topic: string, group: string): Promise<ReadonlyMap<number, CommittedOffset>>

  /** Resolves when the log can take an append now; rejects with LOG_UNAVAILABLE otherwise. Cheap enough for every few seconds. */
  ping(): Promise<void>

  /** Flushes what was appended, leaves, closes. Nothing may be called afterwards. */
  close(): Promise<void>
}
