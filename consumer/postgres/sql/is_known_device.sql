SELECT EXISTS (SELECT FROM {current_state} WHERE {id} = %(device)s)
    OR EXISTS (SELECT FROM {registry} WHERE {id} = %(device)s)
    OR EXISTS (SELECT FROM {history} WHERE {id} = %(device)s)
