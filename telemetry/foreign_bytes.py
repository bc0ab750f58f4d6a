"""Names for bytes that are not JSON: other encodings, compression, a schema's prefix. Pure."""

SCHEMA_PREFIX_BYTES = 5

_MARKS = (
    (b"\xef\xbb\xbf", "begins with a byte-order mark"),
    (b"\xff\xfe\0\0", "is UTF-32, not UTF-8"),
    (b"\0\0\xfe\xff", "is UTF-32, not UTF-8"),
    (b"\xff\xfe", "is UTF-16, not UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8"),
    (b"{\0\0\0", "is UTF-32, not UTF-8"),
    (b"\0\0\0{", "is UTF-32, not UTF-8"),
    (b"{\0", "is UTF-16, not UTF-8"),
    (b"\0{\0", "is UTF-16, not UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "is compressed with snappy"),
    (b"x\x01", "is compressed with deflate"),
    (b"x\x5e", "is compressed with deflate"),
    (b"x\x9c", "is compressed with deflate"),
    (b"x\xda", "is compressed with deflate"),
    # Avro or Protobuf behind such a prefix cannot be told from other bytes.
    (b"\0", "begins with a zero byte, as a schema registry's prefix does"),
)


def name_foreign(value: bytes) -> str | None:
    """Return what a value is that cannot be JSON, as the end of "the value …"; None if unknown."""
    if has_schema_prefix(value) and value[SCHEMA_PREFIX_BYTES:][:1] in (b"{", b"["):
        return "begins with a schema registry's prefix"
    return next((name for mark, name in _MARKS if value.startswith(mark)), None)


def has_schema_prefix(value: bytes) -> bool:
    """Return whether the value may be in Confluent's wire format: zero byte, schema id, body.

    No JSON text begins with a zero byte. Source: "Wire format" in the documentation of Confluent's
    Schema Registry.
    """
    return value[:1] == b"\0" and len(value) > SCHEMA_PREFIX_BYTES


def without_schema_prefix(value: bytes | None) -> bytes | None:
    """Return the body of a value in Confluent's wire format; other values stay as they are."""
    return value[SCHEMA_PREFIX_BYTES:] if value and has_schema_prefix(value) else value
