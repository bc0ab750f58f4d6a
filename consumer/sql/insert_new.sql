-- Stores what is new of the stage, of each device and time the first in offset order, and takes it
-- off the stage: what stays there is a second copy of something.
WITH inserted AS (
    INSERT INTO {history} ({id}, recorded_at, {measures})
    SELECT DISTINCT ON ({id}, recorded_at) {id}, recorded_at, {measures}
    FROM {stage}
    ORDER BY {id}, recorded_at, position
    ON CONFLICT DO NOTHING
    RETURNING {id}, recorded_at
), first AS (
    SELECT min(position) AS position
    FROM {stage} JOIN inserted USING ({id}, recorded_at)
    GROUP BY {id}, recorded_at
)
DELETE FROM {stage} AS staged USING first WHERE staged.position = first.position
