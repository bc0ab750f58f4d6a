-- Writes a vehicle's day, and keeps its first hours, and the gaps that end in them, if it is there already.
INSERT INTO vehicle_day AS old (vehicle_id, day, ac, dc, ac_known_us, dc_known_us, doubts,
                                gap_starts, gap_ends, gap_lengths, gap_is_ac, holds_until)
VALUES (%(vehicle)s, %(day)s, %(ac)s::bigint[], %(dc)s::bigint[], %(ac_known_us)s::bigint[], %(dc_known_us)s::bigint[],
        %(doubts)s::smallint[],
        %(gap_starts)s::timestamptz[], %(gap_ends)s::timestamptz[], %(gap_lengths)s::bigint[], %(gap_is_ac)s::boolean[],
        %(holds_until)s)
ON CONFLICT (vehicle_id, day) DO UPDATE
SET ac = old.ac[1:%(kept)s] || excluded.ac[%(kept)s + 1:],
    dc = old.dc[1:%(kept)s] || excluded.dc[%(kept)s + 1:],
    ac_known_us = old.ac_known_us[1:%(kept)s] || excluded.ac_known_us[%(kept)s + 1:],
    dc_known_us = old.dc_known_us[1:%(kept)s] || excluded.dc_known_us[%(kept)s + 1:],
    doubts = old.doubts[1:%(kept)s] || excluded.doubts[%(kept)s + 1:],
    (gap_starts, gap_ends, gap_lengths, gap_is_ac) = (
        SELECT coalesce(array_agg(gap.started_at), '{}') || excluded.gap_starts,
               coalesce(array_agg(gap.ended_at), '{}') || excluded.gap_ends,
               coalesce(array_agg(gap.length), '{}') || excluded.gap_lengths,
               coalesce(array_agg(gap.is_ac), '{}') || excluded.gap_is_ac
        FROM unnest(old.gap_starts, old.gap_ends, old.gap_lengths, old.gap_is_ac)
                 AS gap (started_at, ended_at, length, is_ac)
        WHERE gap.ended_at <= %(from_at)s
    ),
    holds_until = CASE WHEN %(kept)s = 0 THEN excluded.holds_until ELSE least(old.holds_until, excluded.holds_until) END
