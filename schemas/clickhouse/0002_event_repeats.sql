-- The stored events that can have repeats, by repeat key: what the loader asks before it stores a later one.
-- Rows outlive the repeat window by a month, so that a backlog in the log still finds them.
CREATE TABLE IF NOT EXISTS event_repeats
(
    repeat_key FixedString(16),
    project LowCardinality(String),
    collection LowCardinality(String),
    created_at DateTime64(3, 'UTC'),
    log_epoch LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (repeat_key, created_at)
TTL toDateTime(created_at) + INTERVAL 62 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
