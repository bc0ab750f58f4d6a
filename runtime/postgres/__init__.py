"""PostgreSQL for every service: its URL, and the settings that every session begins with."""
