import type { ReadLimits } from './port.ts'

type Settings = Record<string, string | number>

/**
 * JSON as it was sent: a string that looks like a date stays a string, and `[true, 1]` is not `[1, 1]`,
 * and `["a", null, true]` not `["a", null, "true"]`. The server's own choice differs between versions.
 */
export const JSON_AS_SENT: Settings = {
  input_format_json_read_bools_as_numbers: 0,
  input_format_json_read_bools_as_strings: 0,
  input_format_try_infer_dates: 0,
  input_format_try_infer_datetimes: 0,
}

/**
 * What makes an insert happen once, in one block, durable when it is answered. Every one of these has, or had, another
 * default in some version of the server, so all of them are said each time.
 */
export function insertSettings(options: {
  readonly token: string
  readonly executionS: number
  /** For replicated tables: how many replicas must have the rows; a number, or `auto`. */
  readonly quorum: string | undefined
}): Settings {
  return {
    ...JSON_AS_SENT,
    async_insert: 0,
    insert_deduplicate: 1,
    deduplicate_insert: 'enable',
    insert_deduplication_token: options.token,
    deduplicate_blocks_in_dependent_materialized_views: 1,
    max_insert_block_size: 1_048_576,
    min_insert_block_size_rows: 1_048_576,
    min_insert_block_size_bytes: 1_073_741_824,
    max_insert_threads: 1,
    input_format_parallel_parsing: 0,
    input_format_binary_read_json_as_string: 1,
    max_partitions_per_insert_block: 100,
    throw_on_max_partitions_per_insert_block: 1,
    max_execution_time: options.executionS,
    timeout_overflow_mode: 'throw',
    wait_end_of_query: 1,
    ...(options.quorum === undefined ? {} : { insert_quorum: options.quorum }),
  }
}

/** The ceilings of a read, each of which ends it with an error, and the form of its answer. */
export function readSettings(limits: ReadLimits): Settings {
  return {
    ...JSON_AS_SENT,
    max_execution_time: limits.executionS,
    timeout_overflow_mode: 'throw',
    max_rows_to_read: limits.rowsToRead,
    read_overflow_mode: 'throw',
    max_memory_usage: limits.memoryBytes,
    max_result_rows: limits.resultRows,
    max_result_bytes: limits.resultBytes,
    result_overflow_mode: 'throw',
    output_format_json_quote_64bit_integers: 0,
    output_format_json_quote_denormals: 0,
    date_time_output_format: 'iso',
    // Of a join's side that has no row: nothing, rather than zero or an empty text.
    join_use_nulls: 1,
    format_csv_null_representation: '',
    readonly: 1,
  }
}
