-- Load a file that PostgreSQL's COPY wrote, with a constant topic in front if the file has none. The
-- dialect is given, because it cannot be detected in an empty file.
INSERT INTO {table}
SELECT {leading} *
FROM read_csv(
    $file,
    auto_detect = false, header = false, delim = ',', quote = '"', escape = '"', columns = {types}
);
