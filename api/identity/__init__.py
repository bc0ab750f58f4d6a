"""Who asks, and what they may do: `client`, the `stanzas` that name clients, `clients` as known."""
