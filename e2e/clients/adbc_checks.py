"""What an ADBC program does over Flight SQL, done with lakebox's Flight SQL port.

usage: adbc_checks.py URI [USER PASSWORD [CERTIFICATE]]

Needs silver.shop_kinds and silver.shop_many as e2e/tests/clients.rs makes them.
"""

import datetime as dt
import decimal
import sys

import adbc_driver_flightsql.dbapi as flight
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions
from checks import check, equal, run


@check
def results_are_arrow_tables(connect):
    with connect() as c, c.cursor() as cursor:
        cursor.execute("select id, amount, instant, day, note, numbers, raw from silver.shop_kinds where id = 1")
        table = cursor.fetch_arrow_table()
        equal(table.num_rows, 1)
        equal(table.schema.field("amount").type, pa.decimal128(12, 2))
        equal(table.schema.field("instant").type, pa.timestamp("us", "UTC"))
        row = table.to_pylist()[0]
        equal(row["amount"], decimal.Decimal("12345.60"))
        equal(row["day"], dt.date(2026, 2, 28))
        equal((row["note"], row["numbers"], row["raw"]), ('Grüße, "quoted" \\ 100%', [1, None, 3], b"\x00\xff\x10"))


@check
def large_results_come_in_batches(connect):
    with connect() as c, c.cursor() as cursor:
        cursor.execute("select * from silver.shop_many order by id")
        reader = cursor.fetch_record_batch()
        sizes = [batch.num_rows for batch in reader]
        equal(sum(sizes), 100_000)
        assert len(sizes) > 1, sizes


@check
def parameters_are_bound(connect):
    with connect() as c, c.cursor() as cursor:
        cursor.execute("select note from silver.shop_many where id = $1", (7,))
        equal(cursor.fetchall(), [("row 7",)])
        cursor.execute("select count(*) as n from silver.shop_kinds where day = $1 or note = $2", (dt.date(1969, 12, 31), "line\nline"))
        equal(cursor.fetchall(), [(2,)])


@check
def objects_are_listed_to_their_columns(connect):
    with connect() as c:
        tree = c.adbc_get_objects(depth="all", db_schema_filter="silver").read_all().to_pylist()
        equal([catalog["catalog_name"] for catalog in tree], ["lakebox"])
        schemas = {s["db_schema_name"]: s["db_schema_tables"] for s in tree[0]["catalog_db_schemas"]}
        tables = {t["table_name"]: t for t in schemas["silver"]}
        assert {"shop_kinds", "shop_many"} <= set(tables), tables
        equal([col["column_name"] for col in tables["shop_many"]["table_columns"]], ["id", "note"])
        equal(c.adbc_get_table_schema("shop_many", db_schema_filter="silver").names, ["id", "note"])
        assert "TABLE" in c.adbc_get_table_types()
        equal(c.adbc_get_info()["vendor_name"], "lakebox")


@check
def errors_say_what_is_wrong(connect):
    with connect() as c, c.cursor() as cursor:
        for sql, word in [("select nothing from silver.shop_kinds", "nothing"), ("select * from silver.shop_kind", "shop_kinds"), ("select", "")]:
            try:
                cursor.execute(sql)
                cursor.fetchall()
                raise AssertionError(f"{sql} was taken")
            except flight.Error as error:
                assert word in str(error), error


@check
def tables_of_ones_own_are_made(connect):
    with connect() as c, c.cursor() as cursor:
        for sql in [
            "create schema if not exists adbc",
            "create table adbc.few as select id, note from silver.shop_many where id <= 3",
            "create view adbc.fewer as select id from adbc.few where id > 1",
        ]:
            cursor.execute(sql)
            cursor.fetchall()
        cursor.execute("select count(*) from adbc.fewer")
        equal(cursor.fetchall(), [(2,)])
        cursor.execute("drop schema adbc cascade")
        cursor.fetchall()


if __name__ == "__main__":
    uri, *login = sys.argv[1:]
    options = {}
    if login:
        options = {"username": login[0], "password": login[1]}
    if len(login) > 2:
        options[DatabaseOptions.TLS_ROOT_CERTS.value] = open(login[2]).read()
    run(lambda: flight.connect(uri, db_kwargs=options, autocommit=True))
