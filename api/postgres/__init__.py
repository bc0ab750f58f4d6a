"""PostgreSQL: `database` lends connections, `lanes` share them out, `failures` become answers."""
