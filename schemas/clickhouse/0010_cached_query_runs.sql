-- Runs of cached queries: the result as JSON text, or why there is none. A query's runs under one version of its definition
-- lie together; what is a week old goes, a day at a time. The window makes a run that is told twice one row.
CREATE TABLE IF NOT EXISTS cached_query_runs
(
    project String,
    name String,
    version String,
    slot UInt64,
    share UInt32,
    status LowCardinality(String),
    message String,
    attempt UInt32,
    ran_at DateTime64(3, 'UTC'),
    duration_ms UInt32,
    result String CODEC(ZSTD(3)),
    execution_metadata String
)
ENGINE = MergeTree
PARTITION BY toDate(ran_at)
ORDER BY (project, name, version, slot, ran_at)
TTL toDateTime(ran_at) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, index_granularity = 256;
