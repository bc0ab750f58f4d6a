COPY {history} ({id}, recorded_at, {measures}) FROM STDIN (FORMAT binary)
