-- What properties the collections have, kept up to date by each insert into `events`, so that nobody scans events to know.
-- A row with the empty path says that the collection is there: an event need not have any property.
-- Times are of receipt. Rows merge by smallest and largest, so that the same block twice changes nothing.
CREATE TABLE IF NOT EXISTS event_properties
(
    project LowCardinality(String),
    collection LowCardinality(String),
    path String,
    type LowCardinality(String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (project, collection, path, type)
SETTINGS non_replicated_deduplication_window = 10000;
CREATE MATERIALIZED VIEW IF NOT EXISTS event_properties_of_events TO event_properties AS
SELECT project, collection, entry.1 AS path, arrayJoin(entry.2) AS type, first_seen, last_seen
FROM
(
    SELECT
        project,
        collection,
        arrayJoin(arrayConcat([('', [''])], CAST(distinctJSONPathsAndTypes(properties), 'Array(Tuple(String, Array(String)))'))) AS entry,
        min(created_at) AS first_seen,
        max(created_at) AS last_seen
    FROM events
    GROUP BY project, collection
);
-- Events that were stored before this table was there.
INSERT INTO event_properties
SELECT project, collection, entry.1 AS path, arrayJoin(entry.2) AS type, first_seen, last_seen
FROM
(
    SELECT
        project,
        collection,
        arrayJoin(arrayConcat([('', [''])], CAST(distinctJSONPathsAndTypes(properties), 'Array(Tuple(String, Array(String)))'))) AS entry,
        min(created_at) AS first_seen,
        max(created_at) AS last_seen
    FROM events
    GROUP BY project, collection
);
