SELECT until FROM history_removed WHERE stream = %(stream)s
