"""The raw limit: what psql alone can load of the same rows into the same tables.

One connection; of each Kafka partition chunks of 20,000 rows in order of offset, each sorted by
key; per chunk one transaction with one `\\copy` and one upsert of the newest reading per device.
Nothing is read from Kafka, parsed or checked.
"""

import os
import subprocess
import time
from pathlib import Path

import duckdb

from deploy.local.addresses import psql_environment
from deploy.local.postgres.unprivileged import programs
from telemetry.streams import STREAMS, Stream

CHUNK_ROWS = 20_000

_PLACES = "SELECT partition FROM read_parquet(?) WHERE topic = ? GROUP BY 1 ORDER BY 1"
# Once a partition: for ten million rows, a search of the whole ledger for each chunk takes minutes.
_ROWS = """
    CREATE OR REPLACE TEMP TABLE rows AS
    SELECT device_id AS id, make_timestamptz(recorded_at) AS recorded_at, {measures},
           (row_number() OVER (ORDER BY record_offset) - 1) // {chunk_rows} AS chunk
    FROM read_parquet(?, union_by_name = true)
    WHERE topic = ? AND partition = ?
"""


def write_script(ledger: Path, folder: Path) -> Path:
    """Write the chunks and the script that loads them; return the script."""
    blocks: list[tuple[int, str]] = []
    files = str(ledger / "*.parquet")
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for stream in STREAMS:
            create = _ROWS.format(measures=", ".join(stream.measures), chunk_rows=CHUNK_ROWS)
            for (partition,) in database.execute(_PLACES, [files, stream.topic]).fetchall():
                database.execute(create, [files, stream.topic, partition])
                (chunks,) = database.execute("SELECT max(chunk) + 1 FROM rows").fetchall()[0]
                blocks += (
                    (chunk, _block(database, stream, folder, (partition, chunk)))
                    for chunk in range(chunks)
                )
    blocks.sort(key=lambda block: block[0])  # all partitions go on together, as in the consumer
    script = folder / "load.sql"
    script.write_text("".join(text for _, text in blocks))
    return script


def _block(
    database: duckdb.DuckDBPyConnection, stream: Stream, folder: Path, place: tuple[int, int]
) -> str:
    partition, chunk = place
    measures = ", ".join(stream.measures)
    rows = f"SELECT id, recorded_at, {measures} FROM rows WHERE chunk = {chunk}"
    file = folder / f"{stream.name}-{partition}-{chunk}.tsv"
    database.execute(
        f"COPY (SELECT * FROM ({rows}) ORDER BY 1, 2) TO '{file}' (DELIMITER '\t', HEADER false)"
    )
    last = ", ".join(f"arg_max({measure}, recorded_at)" for measure in stream.measures)
    newest = database.execute(
        f"SELECT id, max(recorded_at)::text, {last} FROM ({rows}) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    values = ",\n".join(
        f"('{device}', '{recorded_at}', {', '.join(map(repr, numbers))}, now())"
        for device, recorded_at, *numbers in newest
    )
    assignments = ", ".join(f"{m} = excluded.{m}" for m in ("recorded_at", *stream.measures))
    return (
        "BEGIN;\n"
        f"\\copy {stream.history} ({stream.id_column}, recorded_at, {measures}) FROM '{file}'\n"
        f"INSERT INTO {stream.current_state} AS known"
        f" ({stream.id_column}, recorded_at, {measures}, updated_at) VALUES\n{values}\n"
        f"ON CONFLICT ({stream.id_column}) DO UPDATE SET {assignments}, updated_at = now()\n"
        "WHERE known.recorded_at < excluded.recorded_at;\n"
        "COMMIT;\n"
    )


def run_script(script: Path, database_url: str) -> float:
    """Run the script and return the seconds that it took; raises CalledProcessError."""
    psql = Path(programs(None)) / "psql"
    begun = time.perf_counter()
    subprocess.run(
        [str(psql), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(script)],
        env={**os.environ, **psql_environment(database_url), "PGTZ": "UTC"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun
