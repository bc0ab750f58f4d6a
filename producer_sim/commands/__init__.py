"""The commands `run`, `replay` and `verify`; `send` is what the first two share."""
