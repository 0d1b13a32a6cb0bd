"""One outside engine over lakebox's Iceberg REST catalog, told what to do by lines of JSON.

usage: engine.py pyiceberg|duckdb|spark CATALOG_URL [CLIENT_ID:SECRET]

The first line of output names the engine and its version, or says why it could not start. Then each line of input is a command, and each is
answered by one line: {"ok": …} or {"error": "…"}. Rows come as lists of texts and nulls, sorted by the first column as a number.
"""

import datetime
import decimal
import json
import os
import sys
import warnings

# The S3 server of the tests keeps the checksums that newer clients append as a part of the file.
os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"

warnings.filterwarnings("ignore")

SHAPE = {"id": "long", "name": "string", "amount": "decimal", "day": "date"}


def row(i, evolved):
    """Row `i`, the same for every engine: id, name, amount, day, and once the table has evolved, extra."""
    name = None if i % 7 == 0 else f"name {i}"
    amount = None if i % 11 == 0 else decimal.Decimal(i * 125) / 100
    day = datetime.date(2026, 1, 1) + datetime.timedelta(days=i % 10)
    return [i, name, amount, day] + ([i * 2] if evolved else [])


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value + "'"
    if isinstance(value, datetime.date):
        return f"DATE '{value}'"
    return str(value)


def plain(value):
    if isinstance(value, decimal.Decimal):
        return format(value, ".2f")
    return None if value is None else str(value)


class Sql:
    """What engines of SQL have in common."""

    types = {"long": "bigint", "string": "string", "decimal": "decimal(12,2)", "date": "date"}
    using = ""

    def namespace(self, name):
        self.run(f"create schema if not exists lb.{name}")

    def create(self, table, options=""):
        columns = ", ".join(f"{name} {self.types[kind]}" for name, kind in SHAPE.items())
        self.run(f"create table lb.{table} ({columns}) {self.using} {options}")

    def create_as(self, table, source):
        self.run(f"create table lb.{table} {self.using} as select * from lb.{source}")

    def append(self, table, first, last, evolved=False):
        rows = ", ".join("(" + ", ".join(map(literal, row(i, evolved))) + ")" for i in range(first, last + 1))
        self.run(f"insert into lb.{table} values {rows}")

    def update(self, table):
        self.run(f"update lb.{table} set name = 'changed' where id % 3 = 0")

    def delete(self, table):
        self.run(f"delete from lb.{table} where id % 5 = 0")

    def evolve(self, table):
        self.run(f"alter table lb.{table} add column extra {self.types['long']}")
        self.run(f"alter table lb.{table} rename column name to label")

    def sql(self, statement):
        self.run(statement)

    def rows(self, table, columns, moving=False):
        found = self.run(f"select {', '.join(columns)} from lb.{table}")
        if moving:
            return found
        # The engine's own count must agree, whatever it counts by.
        counted = self.run(f"select count(*) from lb.{table}")[0][0]
        assert counted == len(found), f"count(*) says {counted}, but there are {len(found)} rows"
        return found


class DuckDb(Sql):
    types = {**Sql.types, "string": "varchar"}

    def __init__(self, url, credential):
        import glob
        import importlib

        import duckdb

        self.connection = duckdb.connect()
        for name in ("avro", "httpfs", "iceberg"):
            module = importlib.import_module("duckdb_extension_" + name)
            folder = os.path.dirname(module.__file__)
            self.run("load '%s'" % glob.glob(folder + "/extensions/*/*.duckdb_extension")[0])
        how = "authorization_type 'none'"
        if credential:
            client, secret = credential.split(":")
            server = f"{url}/v1/oauth/tokens"
            self.run(f"create secret lb (type iceberg, client_id '{client}', client_secret '{secret}', oauth2_server_uri '{server}')")
            how = "secret lb"
        self.run(f"attach 'lakebox' as lb (type iceberg, endpoint '{url}', {how})")
        self.version = f"DuckDB {duckdb.__version__}"

    def run(self, statement):
        return self.connection.execute(statement).fetchall()

    def partition(self, table):
        self.run(f"alter table lb.{table} set partitioned by (day)")

    def version3(self, table):
        self.create(table, "with ('format-version' = '3')")


class Spark(Sql):
    using = "using iceberg"

    def __init__(self, url, credential):
        import glob

        import snowpark_connect_deps_iceberg as jars
        from pyspark.sql import SparkSession

        folder = os.path.dirname(jars.__file__) + "/jars"
        jar = next(j for j in glob.glob(folder + "/*.jar") if "runtime-3.5_2.12" in j)
        settings = {
            "spark.jars": jar,
            "spark.driver.memory": "1g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            "spark.sql.catalog.lb": "org.apache.iceberg.spark.SparkCatalog",
            "spark.sql.catalog.lb.type": "rest",
            "spark.sql.catalog.lb.uri": url,
            # Others write between our reads.
            "spark.sql.catalog.lb.cache-enabled": "false",
        }
        if credential:
            settings["spark.sql.catalog.lb.credential"] = credential
            settings["spark.sql.catalog.lb.oauth2-server-uri"] = f"{url}/v1/oauth/tokens"
        builder = SparkSession.builder.master("local[1]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("OFF")
        iceberg = jar.rsplit("-", 1)[1].removesuffix(".jar")
        self.version = f"Spark {self.session.version} with Iceberg {iceberg}"

    def run(self, statement):
        return [list(row) for row in self.session.sql(statement).collect()]

    def create(self, table, options=""):
        super().create(table, options)
        # Rows that change become position deletes, the harder case for readers.
        modes = ", ".join(f"'write.{what}.mode' = 'merge-on-read'" for what in ("delete", "update", "merge"))
        self.run(f"alter table lb.{table} set tblproperties ({modes})")

    def partition(self, table):
        self.run(f"alter table lb.{table} add partition field bucket(4, id)")
        self.run(f"alter table lb.{table} add partition field day")

    def compact(self, table):
        self.run(f"call lb.system.rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))")

    def version3(self, table):
        self.create(table, "tblproperties ('format-version' = '3')")

    def lineage(self, table):
        """The id of each row, and the sequence number of its last change, by the column `id`."""
        found = self.run(f"select id, _row_id, _last_updated_sequence_number from lb.{table} order by id")
        ids = [row[1] for row in found]
        assert None not in ids and len(set(ids)) == len(ids), f"two rows have one id: {found}"
        return found

    def upgrade(self, table):
        self.run(f"alter table lb.{table} set tblproperties ('format-version' = '3')")

    def take_over(self, table, folder):
        """Rows in files as Hive has them, without the column that folders are named by, taken over as they are."""
        self.run(f"create table lb.{table} (id bigint, name string, city string, n int) using iceberg partitioned by (city, n)")
        rows = "select id, concat('name ', id) as name, elt(1 + id % 3, 'Bonn', 'Essen', null) as city, cast(id % 2 as int) as n from range(1, 31)"
        self.session.sql(rows).write.partitionBy("city", "n").parquet(folder)
        self.run(f"call lb.system.add_files(table => '{table}', source_table => '`parquet`.`{folder}`')")


class PyIceberg:
    def __init__(self, url, credential):
        import pyiceberg
        from pyiceberg.catalog.rest import RestCatalog

        more = {"credential": credential, "oauth2-server-uri": f"{url}/v1/oauth/tokens"} if credential else {}
        self.catalog = RestCatalog("lb", uri=url, **more)
        self.version = f"PyIceberg {pyiceberg.__version__}"

    def table(self, name):
        return self.catalog.load_table(name)

    def namespace(self, name):
        self.catalog.create_namespace_if_not_exists(name)

    def create(self, table, properties={}):
        import pyarrow as pa

        types = {"long": pa.int64(), "string": pa.string(), "decimal": pa.decimal128(12, 2), "date": pa.date32()}
        self.catalog.create_table(table, pa.schema([(name, types[kind]) for name, kind in SHAPE.items()]), properties=properties)

    def create_as(self, table, source):
        rows = self.table(source).scan().to_arrow()
        with self.catalog.create_table_transaction(table, rows.schema) as transaction:
            transaction.append(rows)

    def append(self, table, first, last, evolved=False):
        import pyarrow as pa

        found = self.table(table)
        schema = found.schema().as_arrow()
        columns = list(zip(*(row(i, evolved) for i in range(first, last + 1))))
        found.append(pa.table([pa.array(c, f.type) for c, f in zip(columns, schema)], schema=schema))

    def update(self, table):
        import pyarrow as pa

        found = self.table(table)
        rows = found.scan().to_arrow()
        rows = rows.filter(pa.array([i % 3 == 0 for i in rows["id"].to_pylist()]))
        changed = pa.array(["changed"] * rows.num_rows, rows.schema.field("name").type)
        found.upsert(rows.set_column(1, rows.schema.field("name"), changed), join_cols=["id"])

    def delete(self, table):
        from pyiceberg.expressions import In

        found = self.table(table)
        ids = [i for i in found.scan(selected_fields=("id",)).to_arrow()["id"].to_pylist() if i % 5 == 0]
        found.delete(In("id", ids))

    def evolve(self, table):
        from pyiceberg.types import LongType

        with self.table(table).update_schema() as update:
            update.add_column("extra", LongType())
            update.rename_column("name", "label")

    def version3(self, table):
        self.create(table, {"format-version": "3"})

    def transforms(self, table, by):
        """Partitions a table by transforms, as (column, transform) in PyIceberg's words."""
        with self.table(table).update_spec() as update:
            for column, transform in by:
                update.add_field(column, transform)

    def partition(self, table):
        from pyiceberg.transforms import IdentityTransform

        with self.table(table).update_spec() as update:
            update.add_field("day", IdentityTransform(), "day")

    def rows(self, table, columns, moving=False):
        read = self.table(table)
        found = read.scan(selected_fields=tuple(columns)).to_arrow().select(columns)
        counted = read.scan().count()
        assert counted == found.num_rows, f"count() says {counted}, but there are {found.num_rows} rows"
        return list(zip(*(c.to_pylist() for c in found.columns))) if found.num_rows else []


ENGINES = {"pyiceberg": PyIceberg, "duckdb": DuckDb, "spark": Spark}


def answer(engine, command):
    what = command.pop("do")
    result = getattr(engine, what)(**command)
    if what == "rows":
        result = sorted(([plain(v) for v in r] for r in result), key=lambda r: int(r[0]))
    elif what != "lineage":
        result = None
    return {"ok": result}


def say(message):
    print(json.dumps(message), flush=True)


def main():
    name, url = sys.argv[1:3]
    try:
        engine = ENGINES[name](url, sys.argv[3] if len(sys.argv) > 3 else None)
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return
    say({"ok": engine.version})
    for line in sys.stdin:
        try:
            say(answer(engine, json.loads(line)))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


main()
