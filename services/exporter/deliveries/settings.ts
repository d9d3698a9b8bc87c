export interface DeliverySettings {
  /** Deliveries whose files are made at once; sending them is not counted, so that a slow bucket holds nobody up. */
  readonly makingMax: number
  /** Files that are sent at once to buckets that work, and to such that failed the last time. */
  readonly sendingMax: number
  readonly sendingFailedMax: number
  /** Of events in memory while files are made; past it they wait in files. */
  readonly memoryBytesMax: number
  /** Of events that one delivery takes, uncompressed; a long back-fill is many deliveries. */
  readonly deliveryBytesMax: number
  /** Longest time to send a file, in milliseconds. */
  readonly sendMs: number
  /** For one file, before the delivery as a whole waits. */
  readonly triesMax: number
  readonly retryDelayMs: number
  readonly retryDelayMaxMs: number
  /** How often it is looked whether something is due. */
  readonly tickMs: number
  /** Of a minute of a stream's cadence; tests have shorter ones. */
  readonly minuteMs: number
}

const MIB = 1024 * 1024

export const DELIVERY_DEFAULTS: DeliverySettings = {
  makingMax: 2,
  sendingMax: 8,
  sendingFailedMax: 2,
  memoryBytesMax: 64 * MIB,
  deliveryBytesMax: 1_024 * MIB,
  sendMs: 600_000,
  triesMax: 3,
  retryDelayMs: 1_000,
  retryDelayMaxMs: 60_000,
  tickMs: 1_000,
  minuteMs: 60_000,
}
