"""The SQL statements of this room, by name."""

from runtime.statements import statements_of

statement = statements_of("producer_sim.oracle")
