"""New current states as they are stored: `stream` looks for them, each `listener` gets `event`s."""
