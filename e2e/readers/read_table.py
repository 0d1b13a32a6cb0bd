#!/usr/bin/env python3
"""Reads an Iceberg table by its metadata file, as an outside engine does, and prints its rows as JSON.

    read_table.py pyiceberg|duckdb METADATA_LOCATION [--where=CONDITION] [COLUMN …]

Prints {"columns": […], "rows": [[…], …], "count": n}: rows sorted, and `count` as the engine's own count(*) says. Values are
spelt so that no reader rounds them: decimals and whole numbers beyond 2^53 as text, times as microseconds since 1970, bytes as hex.
Object stores: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION are passed on to the reader.
"""
import glob
import importlib
import json
import os
import sys
from decimal import Decimal

import pyarrow as pa


def with_pyiceberg(location, columns, where):
    from pyiceberg.table import StaticTable

    options = {
        "s3.endpoint": os.environ.get("AWS_ENDPOINT_URL"),
        "s3.access-key-id": os.environ.get("AWS_ACCESS_KEY_ID"),
        "s3.secret-access-key": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "s3.region": os.environ.get("AWS_REGION"),
    }
    table = StaticTable.from_metadata(location, {k: v for k, v in options.items() if v})
    only = {"row_filter": where} if where else {}
    scan = table.scan(selected_fields=tuple(columns) or ("*",), **only)
    return scan.to_arrow(), table.scan(**only).count()


def with_duckdb(location, columns, where):
    import duckdb

    con = duckdb.connect()
    for name in ("avro", "iceberg"):
        module = importlib.import_module("duckdb_extension_" + name)
        con.execute("LOAD '%s'" % glob.glob(os.path.dirname(module.__file__) + "/extensions/*/*.duckdb_extension")[0])
    con.execute("SET TimeZone = 'UTC'")
    source = "iceberg_scan('%s')" % location.removeprefix("file://").replace("'", "''")
    if where:
        source += " WHERE " + where
    picked = ", ".join('"%s"' % c for c in columns) or "*"
    rows = con.execute(f"SELECT {picked} FROM {source}").to_arrow_table()
    return rows, con.execute(f"SELECT count(*) FROM {source}").fetchone()[0]


def plain(column):
    """A column as JSON values."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    elif pa.types.is_time(kind):
        column = column.cast(pa.time64("us")).cast(pa.int64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.int32())
    return [value(v) for v in column.to_pylist()]


def value(v):
    if isinstance(v, Decimal):
        return format(v, "f")
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, bool) or not isinstance(v, int):
        return [value(x) for x in v] if isinstance(v, list) else v
    return str(v) if abs(v) >= 2**53 else v


def main():
    reader = {"pyiceberg": with_pyiceberg, "duckdb": with_duckdb}[sys.argv[1]]
    where = [a.removeprefix("--where=") for a in sys.argv[3:] if a.startswith("--where=")]
    columns = [a for a in sys.argv[3:] if not a.startswith("--where=")]
    table, count = reader(sys.argv[2], columns, where[0] if where else None)
    rows = [list(row) for row in zip(*(plain(c.combine_chunks()) for c in table.columns))]
    rows.sort(key=lambda row: json.dumps(row))
    json.dump({"columns": table.column_names, "rows": rows, "count": count}, sys.stdout)


main()
