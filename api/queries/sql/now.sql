-- The time of the answer, and for how many seconds a statement may run; 0: without a limit.
SELECT coalesce(nullif(current_setting('wattline.as_of', true), '')::timestamptz, statement_timestamp()) AS as_of,
       date_part('epoch', current_setting('statement_timeout')::interval) AS timeout_s
