COPY {stage} ({id}, recorded_at, {measures}, position) FROM STDIN (FORMAT binary)
