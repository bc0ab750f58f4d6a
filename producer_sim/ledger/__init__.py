"""What was sent, kept in Parquet, with what the broker said of each message."""
