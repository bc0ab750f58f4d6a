-- What goes on now. The tables of current state have one row a device and are read whole. Dead letters
-- have an index by time, and are counted no further than the page shows. Silence is measured by when
-- readings were stored, because a device's clock that is ahead would hide it.
SELECT devices.*, letters.*,
       coalesce(nullif(current_setting('wattline.as_of', true), '')::timestamptz, statement_timestamp()) AS as_of
FROM (
    SELECT count(*) FILTER (WHERE is_vehicle) AS vehicles_known,
           count(*) FILTER (WHERE is_vehicle AND is_live) AS vehicles_live,
           count(*) FILTER (WHERE NOT is_vehicle) AS meters_known,
           count(*) FILTER (WHERE NOT is_vehicle AND is_live) AS meters_live,
           extract(epoch FROM statement_timestamp() - max(updated_at))::float8 AS stored_age_s,
           extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY updated_at - recorded_at)
               FILTER (WHERE is_fresh))::float8 AS delay_s
    FROM (
        SELECT is_vehicle, recorded_at, updated_at,
               updated_at > statement_timestamp() - interval '5 minutes' AS is_fresh,
               least(recorded_at, updated_at) > statement_timestamp() - interval '5 minutes' AS is_live
        FROM (
            SELECT true AS is_vehicle, recorded_at, updated_at FROM vehicle_current_state
            UNION ALL
            SELECT false, recorded_at, updated_at FROM meter_current_state
        ) AS state
    ) AS device
) AS devices, (
    SELECT count(*) FILTER (WHERE is_ours) AS dead_letters,
           count(*) FILTER (WHERE NOT is_ours) AS dead_letters_of_others,
           mode() WITHIN GROUP (ORDER BY reason) FILTER (WHERE is_ours) AS dead_letter_reason
    FROM (SELECT reason, consumer_group = %(group)s AS is_ours FROM dead_letter
          WHERE dead_lettered_at > statement_timestamp() - interval '24 hours'
          LIMIT %(most_letters)s) AS recent
) AS letters
