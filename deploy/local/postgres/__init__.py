"""One PostgreSQL server as a process, run by another user where we are root. Read server first."""
