SELECT recorded_at FROM {current_state} WHERE {id} = %(device)s FOR UPDATE
