"""Rows of an Iceberg table, read by another engine from the metadata file alone: one JSON list a line, in the form of lakebox's JSON answers.

usage: rows.py duckdb|pyiceberg METADATA_LOCATION COLUMNS ORDER
"""

import datetime
import decimal
import glob
import importlib
import json
import os
import sys


def duckdb_rows(metadata, columns, order):
    import duckdb

    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        module = importlib.import_module("duckdb_extension_" + extension)
        path = glob.glob(os.path.dirname(module.__file__) + "/extensions/*/*.duckdb_extension")[0]
        connection.execute(f"LOAD '{path}'")
    path = metadata.removeprefix("file://")
    return connection.execute(f"select {columns} from iceberg_scan('{path}') order by {order}").fetchall()


def pyiceberg_rows(metadata, columns, order):
    import duckdb
    from pyiceberg.table import StaticTable

    rows = StaticTable.from_metadata(metadata).scan().to_arrow()  # noqa: F841 (named in the statement)
    return duckdb.execute(f"select {columns} from rows order by {order}").fetchall()


def plain(value):
    if isinstance(value, (decimal.Decimal, datetime.datetime, datetime.date)):
        return str(value)
    return value


def main():
    engine, metadata, columns, order = sys.argv[1:]
    read = {"duckdb": duckdb_rows, "pyiceberg": pyiceberg_rows}[engine]
    for row in read(metadata, columns, order):
        print(json.dumps([plain(v) for v in row], separators=(",", ":"), ensure_ascii=False))


if __name__ == "__main__":
    main()
