-- The tables of a comparison, in DuckDB. Times are microseconds since 1970; m1 … m3 are a stream's
-- measures in its order: null if the device left it out, 0 if the stream has fewer. Keys and values
-- are kept as SHA-256. `value_cut` is what a dead letter that is not whole keeps of its value: the
-- length, the SHA-256, and the SHA-256 of the first 1,024 bytes.
CREATE TABLE message (
    ledger integer, topic text, partition integer, record_offset bigint,
    device_id text, recorded_at bigint, m1 double, m2 double, m3 double,
    canonical boolean, key_sha256 text, value_sha256 text, value_cut text,
    reason text, delivery text
);
CREATE TABLE history (
    topic text, device_id text, recorded_at bigint, m1 double, m2 double, m3 double
);
CREATE TABLE newest (
    topic text, device_id text, recorded_at bigint, m1 double, m2 double, m3 double
);
CREATE TABLE current_state (
    topic text, device_id text, recorded_at bigint, m1 double, m2 double, m3 double
);
CREATE TABLE dead_letter (
    topic text, partition integer, record_offset bigint,
    key_sha256 text, value_sha256 text, reason text, is_redriven boolean
);
CREATE TABLE progress (topic text, partition integer, next_offset bigint);
