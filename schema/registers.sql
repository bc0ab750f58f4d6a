-- Registers: counters, of which a reading is worth its difference to the one before.

-- A register after a reading: the value with which the next one is compared (baseline), when it was read,
-- what the reading was worth, and whether it was an implausible jump.
DO $$
BEGIN
    CREATE TYPE register_state AS (baseline double precision, read_at timestamptz, energy bigint, implausible boolean);
EXCEPTION WHEN duplicate_object THEN
END
$$;

-- The state after the next reading. A fall of at most 0.1 kWh is jitter. A larger one is a rollover if the
-- modulus explains it, otherwise a reset or another meter, which has counted from zero. A gain of more than
-- 1.1 times what the rated power could have drawn since the reading before counts as no energy.
CREATE OR REPLACE FUNCTION register_step(
    before register_state, kwh double precision, recorded_at timestamptz,
    capacity_kw double precision, modulus_kwh double precision
) RETURNS register_state LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    possible numeric;
    gained   numeric;
    rolled   numeric;
BEGIN
    IF before.read_at IS NULL THEN
        RETURN ROW(kwh, recorded_at, 0, false)::register_state;
    END IF;
    -- In whole nanokilowatt-hours, of which none is lost to floating point.
    gained := round(kwh::numeric * 1e9) - round(before.baseline::numeric * 1e9);
    IF gained BETWEEN -1e8 AND -1 THEN
        RETURN ROW(before.baseline, recorded_at, 0, false)::register_state;
    END IF;
    possible := 1.1 * capacity_kw::numeric * extract(epoch FROM recorded_at - before.read_at) / 3600 * 1e9;
    IF gained < 0 THEN
        rolled := gained + round(modulus_kwh::numeric * 1e9);
        gained := round(kwh::numeric * 1e9);
        IF rolled >= 0 AND (rolled <= possible OR capacity_kw IS NULL AND kwh < modulus_kwh / 10) THEN
            gained := rolled;
        END IF;
    END IF;
    IF gained > possible THEN
        RETURN ROW(kwh, recorded_at, 0, true)::register_state;
    END IF;
    RETURN ROW(kwh, recorded_at, gained, false)::register_state;
END
$$;

CREATE OR REPLACE AGGREGATE register(double precision, timestamptz, double precision, double precision) (
    SFUNC = register_step, STYPE = register_state, INITCOND = '(,,0,f)'
);
