SELECT count(*) FROM {current_state} AS known
WHERE {silent}
