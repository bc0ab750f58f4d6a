"""What runs beside ingestion: days made and removed, rollups, old dead letters, counts of devices.

Each file is one task of the service; `devices` also serves a command.
"""
