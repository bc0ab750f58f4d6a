"""One PostgreSQL server as a process, run by another user if we are root. Read server first."""
