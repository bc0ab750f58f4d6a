"""What a user types: `run`, `replay`, `verify`. `send` is one sending, from its first to its last line."""
