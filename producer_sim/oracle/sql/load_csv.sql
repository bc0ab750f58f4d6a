-- What PostgreSQL's COPY wrote into a table, after a constant topic where the file has none. The
-- dialect is given: there is nothing to detect in a file without rows.
INSERT INTO {table}
SELECT {leading} *
FROM read_csv(
    $file,
    auto_detect = false, header = false, delim = ',', quote = '"', escape = '"', columns = {types}
);
