-- When the question is answered, and whether the meter is registered, has sent a reading, or was entered anywhere.
SELECT coalesce(nullif(current_setting('wattline.as_of', true), '')::timestamptz, statement_timestamp()) AS as_of,
       EXISTS (SELECT FROM meter WHERE meter_id = %(meter_id)s)
       OR EXISTS (SELECT FROM meter_current_state WHERE meter_id = %(meter_id)s)
       OR EXISTS (SELECT FROM vehicle_meter_assignment WHERE meter_id = %(meter_id)s)
       OR EXISTS (SELECT FROM charging_session WHERE exactly(meter_id) = exactly(%(meter_id)s)) AS known
