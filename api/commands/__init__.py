"""What operators call beside `run`, one noun a file."""
