-- One table for all projects: a project's rows of one collection lie together, in time order.
-- `properties` is for asking, `body` is the event's JSON text as it was accepted, for giving it back whole (the JSON type
-- forgets nulls and empty objects). The log's coordinates make the load checkable: a gap or a double can be seen by a query.
CREATE TABLE IF NOT EXISTS events
(
    project LowCardinality(String),
    collection LowCardinality(String),
    timestamp DateTime64(3, 'UTC'),
    created_at DateTime64(3, 'UTC'),
    id UUID,
    properties JSON(max_dynamic_paths = 64),
    body String CODEC(ZSTD(3)),
    log_epoch LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (project, collection, timestamp, id)
SETTINGS non_replicated_deduplication_window = 10000, object_shared_data_serialization_version = 'advanced';
