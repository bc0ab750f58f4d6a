CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS
SELECT {id}, recorded_at, {measures}, 0::bigint AS position FROM {history} WITH NO DATA
