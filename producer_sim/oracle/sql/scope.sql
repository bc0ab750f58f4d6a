-- The ledgers' devices, each with the time span of its ledger.
CREATE OR REPLACE TABLE scope AS
WITH span AS (
    SELECT ledger, min(recorded_at) AS first_at, max(recorded_at) AS last_at
    FROM message
    GROUP BY ledger
)
SELECT DISTINCT m.topic, m.device_id, span.first_at, span.last_at
FROM message AS m
JOIN span USING (ledger);
