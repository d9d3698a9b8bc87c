-- How far replays of the archive are, so that one that was stopped goes on where it was. A run is one replay of one scope
-- from its start to its end; the row without an epoch says that it began, or with `finished` that it is over.
CREATE TABLE IF NOT EXISTS replays
(
    scope String,
    run String,
    log_epoch String,
    log_partition UInt32,
    next_offset UInt64,
    finished UInt8,
    saved_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (scope, run, log_epoch, log_partition, saved_at)
TTL toDateTime(saved_at) + INTERVAL 90 DAY;
