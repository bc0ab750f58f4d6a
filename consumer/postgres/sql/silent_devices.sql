-- A condition on current state: devices that sent nothing new for a while, are not registered, and are
-- in no assignment and no session, past ones included.
known.updated_at < %(heard_before)s
AND known.{id} > %(after)s AND known.{id} >= %(prefix)s AND starts_with(known.{id}, %(prefix)s)
AND NOT EXISTS (SELECT FROM {registry} AS device WHERE device.{id} = known.{id})
AND NOT EXISTS (SELECT FROM vehicle_meter_assignment AS bond WHERE exactly(bond.{id}) = exactly(known.{id}))
AND NOT EXISTS (SELECT FROM charging_session AS bond WHERE exactly(bond.{id}) = exactly(known.{id}))
