"""Makes the data: TPC-H by DuckDB's generator, and a wide table of web hits. A second run finds it there and does nothing."""

import glob
import importlib
import os
import pathlib
import sys

import duckdb

SCALE = float(os.environ.get("BENCH_QUERY_SCALE", "3"))
HITS = int(os.environ.get("BENCH_QUERY_HITS", "4000000"))


def tpch(folder):
    """The eight tables, and the 22 queries as the generator has them."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    module = importlib.import_module("duckdb_extension_tpch")
    con.execute(f"load '{glob.glob(os.path.dirname(module.__file__) + '/extensions/*/*.duckdb_extension')[0]}'")
    con.execute(f"call dbgen(sf = {SCALE})")
    for (table,) in con.execute("show tables").fetchall():
        con.execute(f"copy {table} to '{folder}/{table}.parquet' (format parquet, compression zstd)")
    for number, sql in con.execute("select query_nr, query from tpch_queries()").fetchall():
        (folder / f"q{number:02}.sql").write_text(sql.strip().rstrip(";") + "\n")
    (folder / "done").touch()


def mixed(salt, modulus):
    """A column of whole numbers below `modulus` that looks random and is the same in every run."""
    return f"(hash(i, {salt}) % {modulus})"


def hits(folder):
    """A row per page view: few and many distinct values, skew, NULLs, texts short and long, and forty columns that queries rarely touch."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Squaring a uniform number makes small ones frequent, as in real traffic.
    skewed = lambda salt, n: f"cast(pow({mixed(salt, 1000003)} / 1000003.0, 3) * {n} as bigint)"
    columns = {
        "watch_id": f"cast({mixed(1, 1 << 62)} as bigint)",
        "event_time": "timestamp '2026-07-01' + to_microseconds(cast(i as bigint) * 660000)",
        "event_date": "cast(timestamp '2026-07-01' + to_microseconds(cast(i as bigint) * 660000) as date)",
        "counter_id": f"cast({skewed(2, 6000)} as integer)",
        "user_id": skewed(3, 900000),
        "client_ip": f"cast({mixed(4, 1 << 31)} as integer)",
        "region_id": f"cast({skewed(5, 5000)} as integer)",
        "url": f"'https://shop-' || {skewed(6, 400)} || '.example.com/catalogue/' || {skewed(7, 30000)} || '?ref=' || {skewed(8, 50)}",
        "referer": f"case when {mixed(9, 3)} = 0 then '' else 'https://search.example.org/?q=' || {skewed(10, 200000)} end",
        "title": f"'Page ' || {skewed(11, 60000)} || ' of the shop, with a title that people would read'",
        "search_phrase": f"case when {mixed(12, 5)} < 4 then '' else 'buy thing ' || {skewed(13, 90000)} end",
        "search_engine_id": f"cast({skewed(14, 90)} as smallint)",
        "adv_engine_id": f"cast(case when {mixed(15, 40)} = 0 then {mixed(16, 30)} else 0 end as smallint)",
        "resolution_width": f"cast(320 + {mixed(17, 60)} * 32 as smallint)",
        "is_refresh": f"{mixed(18, 10)} = 0",
        "mobile_phone": f"cast(case when {mixed(19, 4)} = 0 then {mixed(20, 80)} else 0 end as smallint)",
        "mobile_phone_model": f"case when {mixed(19, 4)} = 0 then 'model ' || {skewed(21, 200)} else '' end",
        "price": f"cast({mixed(22, 1000000)} / 100.0 as decimal(12, 2))",
        "duration_ms": f"case when {mixed(23, 20)} = 0 then null else cast({skewed(24, 600000)} as integer) end",
        "score": f"{mixed(25, 1000000)} / 1000000.0",
    }
    for n in range(24):
        columns[f"flag_{n:02}"] = f"cast({mixed(100 + n, 3 + n)} as smallint)"
    for n in range(12):
        columns[f"extra_{n:02}"] = skewed(200 + n, 10 ** (2 + n % 5))
    for n in range(6):
        columns[f"note_{n:02}"] = f"case when {mixed(300 + n, 3)} = 0 then null else 'note ' || {skewed(400 + n, 10 ** (1 + n))} end"
    listed = ", ".join(f"{expression} as {name}" for name, expression in columns.items())
    con = duckdb.connect()
    con.execute(f"copy (select {listed} from range({HITS}) t(i)) to '{folder}/hits.parquet' (format parquet, compression zstd)")
    (folder / "done").touch()


if __name__ == "__main__":
    data = pathlib.Path(sys.argv[1])
    tpch(data / "source" / "tpch")
    hits(data / "source" / "hits")
