-- Readings in history that were never sent: of the ledgers' devices, within each ledger's time; if
-- the check is exact, of all devices at any time.
SELECT
    topic, NULL AS partition, NULL AS record_offset, device_id, recorded_at,
    'in history, but never sent' AS problem
FROM stored
ANTI JOIN reading USING (topic, device_id, recorded_at)
WHERE getvariable('exact') OR EXISTS (
    SELECT 1
    FROM scope
    WHERE scope.topic = stored.topic AND scope.device_id = stored.device_id
      AND stored.recorded_at BETWEEN scope.first_at AND scope.last_at
);
