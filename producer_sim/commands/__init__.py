"""What a user types: `run`, `replay`, `verify`; `send` is one sending from start to end."""
