-- Refreshes of datasets, as `cached_query_runs` has those of cached queries; the result says which cells are current.
CREATE TABLE IF NOT EXISTS dataset_runs
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
-- What a dataset has for one index value in one interval: rows as the query gave them, in JSON. A generation is what one
-- refresh made; its cells count for nothing until a run names it. What is current is made anew long before it expires; what
-- nothing names, of a refresh that came to nothing or of a project that is gone, goes with its month.
CREATE TABLE IF NOT EXISTS dataset_cells
(
    project String,
    name String,
    version String,
    index_key String,
    bucket Int64,
    generation String,
    cell_rows String CODEC(ZSTD(3)),
    computed_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(computed_at)
ORDER BY (project, name, version, index_key, bucket, generation)
TTL toDateTime(computed_at) + INTERVAL 60 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, index_granularity = 1024;
