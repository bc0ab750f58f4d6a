-- What goes on right now. The current-state tables have a row a device and are read whole; dead letters
-- have an index by time, and are counted only as far as the page tells.
SELECT vehicles.known AS vehicles_known, vehicles.live AS vehicles_live,
       meters.known AS meters_known, meters.live AS meters_live,
       greatest(vehicles.newest, meters.newest) AS newest_at,
       extract(epoch FROM now() - greatest(vehicles.newest, meters.newest))::float8 AS newest_age_s,
       vehicles.delay_s, letters.count AS dead_letters, letters.commonest AS dead_letter_reason,
       statement_timestamp() AS as_of
FROM (
    SELECT count(*) AS known, max(recorded_at) AS newest,
           count(*) FILTER (WHERE recorded_at > now() - interval '5 minutes') AS live,
           extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY updated_at - recorded_at)
               FILTER (WHERE updated_at > now() - interval '5 minutes'))::float8 AS delay_s
    FROM vehicle_current_state
) AS vehicles, (
    SELECT count(*) AS known, max(recorded_at) AS newest,
           count(*) FILTER (WHERE recorded_at > now() - interval '5 minutes') AS live
    FROM meter_current_state
) AS meters, (
    SELECT count(*), mode() WITHIN GROUP (ORDER BY reason) AS commonest
    FROM (SELECT reason FROM dead_letter
          WHERE dead_lettered_at > now() - interval '24 hours'
          LIMIT %(most_letters)s) AS recent
) AS letters
