"""What must stay fast however large and old a lake is: lookups by key, plans and listings, tables that are changed all the time.
Prints tables, writes bench-lake.json, renews docs/BENCHMARKS-LAKE.md."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from servers import Lakebox, Postgres, number, project  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PGWIRE = "host=127.0.0.1 port=28481 dbname=lakebox user=lakebox"
SOURCE = """sources:
  bench:
    type: postgres
    url: {url}
    tables: ["public.{table}"]
    commit: {{ every: {every} }}
    snapshot: {{ connections: 2 }}
upkeep: {{ snapshots: {{ all: {keep} }} }}
"""
# What psql sends for \\dt.
LIST = """SELECT n.nspname as "Schema", c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'p' THEN 'partitioned table' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2"""


def program(*arguments):
    """What the Rust part prints, from JSON."""
    done = subprocess.run([os.environ["BENCH_LAKE_BIN"], *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def timed(work, rounds):
    """Milliseconds of each call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e3)
    return times


class Writer(threading.Thread):
    """Changes random rows of a table at a steady pace, until told to stop."""

    def __init__(self, url, table, rows, per_second):
        super().__init__(daemon=True)
        self.url, self.table, self.rows, self.per_second = url, table, rows, per_second
        self.stopped, self.sent, self.began = threading.Event(), 0, time.monotonic()

    def run(self):
        dice = random.Random(5)
        with psycopg.connect(self.url, autocommit=True) as db:
            while not self.stopped.is_set():
                each = max(self.per_second // 20, 1)
                keys = [dice.randrange(1, self.rows + 1) for _ in range(each)]
                db.execute(f"update {self.table} set amount = amount + 1, changed = now() where id = any(%s)", (keys,))
                self.sent += each
                behind = self.began + self.sent / self.per_second - time.monotonic()
                self.stopped.wait(max(behind, 0))

    def stop(self):
        self.stopped.set()
        self.join()
        return self.sent / (time.monotonic() - self.began)


def fill(pg, table, rows):
    pg.db.execute(f"drop table if exists {table}")
    pg.db.execute(f"""create table {table}(id bigint primary key, customer int not null, status text not null, amount bigint not null,
        note text, changed timestamptz not null)""")
    parts = max(rows // 1_000_000, 1)
    for part in range(parts):
        first, last = part * rows // parts + 1, (part + 1) * rows // parts
        pg.db.execute(f"""insert into {table} select g, g % 100003, (array['new','paid','sent','done'])[1 + g % 4], g * 7 % 1000003,
            'order ' || md5(g::text), now() from generate_series({first}, {last}) g""")
    pg.db.execute("checkpoint")


def settled(lakebox, patience=900):
    """Waits until upkeep has had nothing to do for a while."""
    deadline, quiet_since, files = time.monotonic() + patience, time.monotonic(), None
    while time.monotonic() < deadline and time.monotonic() - quiet_since < 15:
        now = lakebox.sql("select sum(files) from system.tables")[0][0]
        if now != files:
            files, quiet_since = now, time.monotonic()
        time.sleep(1)


def lookups(pg, a):
    """Lookups by key through the PostgreSQL wire while rows change."""
    fill(pg, "item", a.rows)
    folder = project(SOURCE.format(url=pg.url("bench"), table="item", every="5s", keep="10m"))
    lakebox = Lakebox(folder)
    try:
        lakebox.until_durable(number(pg.one("select pg_current_wal_lsn()")), 3600)
        assert int(lakebox.sql("select count(*) from silver.bench_item")[0][0]) == a.rows
        settled(lakebox)
        plan = "\n".join(row[0] for row in lakebox.sql("explain select * from silver.bench_item where id = 42"))
        assert "key index" in plan, plan
        writer = Writer(pg.url("bench"), "item", a.rows, a.rate)
        writer.start()
        url = "postgres://lakebox@127.0.0.1:28481/lakebox"
        program("lookup", url, "silver.bench_item", a.rows, 1, min(10, a.seconds))
        runs = [program("lookup", url, "silver.bench_item", a.rows, n, a.seconds) for n in (1, 4)]
        rate = writer.stop()
        shape = lakebox.sql("select files, deleted_rows from system.tables where table_name = 'bench_item' and table_schema = 'silver'")[0]
        return {"rows": a.rows, "rate": rate, "runs": runs, "files": int(shape[0]), "deleted_rows": int(shape[1]), "memory": lakebox.memory()}
    finally:
        lakebox.kill()
        pg_clean(pg)
        shutil.rmtree(folder)


def pg_clean(pg):
    """Lets go of what the source keeps for a killed lakebox."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if pg.one("select count(*) from pg_replication_slots where active") == 0:
            break
        time.sleep(0.1)
    pg.db.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
    for (name,) in pg.db.execute("select pubname from pg_publication").fetchall():
        pg.db.execute(f'drop publication "{name}"')


def idle_project():
    return project("upkeep: { enabled: false }")


def plans(a):
    """The time to plan on a table of many commits, and on one of few that holds as many rows."""
    folder = idle_project()
    made = [program("commits", folder, f"gold.{name}", a.plan_rows, count) for name, count in (("few", 10), ("many", a.commits))]
    lakebox = Lakebox(folder)
    try:
        with psycopg.connect(PGWIRE, autocommit=True) as db:
            times = {"few": [], "many": []}
            sql = "explain select name, sum(amount) from gold.{} where day between 3 and 5 group by name"
            for round_ in range(a.rounds + 20):
                for name, all_ in times.items():
                    took = timed(lambda name=name: db.execute(sql.format(name)).fetchall(), 1)[0]
                    if round_ >= 20:
                        all_.append(took)
        few, many = (statistics.median(times[name]) for name in ("few", "many"))
        return {"few": made[0], "many": made[1], "few_ms": few, "many_ms": many, "ratio": many / few, "start_s": lakebox.ready_s}
    finally:
        lakebox.kill()
        shutil.rmtree(folder)


def listings(a):
    """How long clients wait for the list of all tables."""
    folder = idle_project()
    made = program("tables", folder, a.tables)
    lakebox = Lakebox(folder)
    try:
        db = psycopg.connect(PGWIRE, autocommit=True)
        rest = lambda layer: len(lakebox.get(f"/iceberg/v1/namespaces/{layer}/tables")["identifiers"])  # noqa: E731
        ways = {
            "GET /api/v1/tables": lambda: len(lakebox.get("/api/v1/tables")),
            "SELECT * FROM system.tables": lambda: len(db.execute("select * from system.tables").fetchall()),
            "information_schema.tables": lambda: len(db.execute("select * from information_schema.tables").fetchall()),
            "psql \\dt": lambda: len(db.execute(LIST).fetchall()),
            "Iceberg REST, one namespace": lambda: rest("silver"),
        }
        result = {"tables": a.tables, "start_s": lakebox.ready_s, "memory": lakebox.memory("VmRSS"), "made_s": made["seconds"], "ways": {}}
        for name, work in ways.items():
            rows = work()
            times = timed(work, 15)
            result["ways"][name] = {"rows": rows, "p50_ms": statistics.median(times), "max_ms": max(times)}
        db.close()
        return result
    finally:
        lakebox.kill()
        shutil.rmtree(folder)


def tree_bytes(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def measure(lakebox, folder):
    """What a reader of the table has to deal with."""
    detail = lakebox.get("/api/v1/tables/silver/bench_churn")
    files = lakebox.get("/api/v1/tables/silver/bench_churn/files")
    snapshots = lakebox.get("/api/v1/tables/silver/bench_churn/snapshots")
    metadata = pathlib.Path(detail["metadata_location"].removeprefix("file://"))
    return {
        "data_files": sum(1 for f in files if f["content"] == "data"),
        "delete_files": sum(1 for f in files if f["content"] != "data"),
        "deleted_rows": detail["deleted_rows"],
        "snapshots": len(snapshots),
        "metadata_json": metadata.stat().st_size if metadata.exists() else 0,
        "metadata_folder": tree_bytes(folder / "lake/silver/bench_churn/metadata"),
        "lake": tree_bytes(folder / "lake"),
    }


def fingerprint(rows):
    """The number of rows, and a hash over all of them in order."""
    count, digest = 0, hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
        count += 1
    return count, digest.hexdigest()


def all_rows(db, table):
    with db.cursor(name="compare") as cursor:
        cursor.itersize = 10_000
        cursor.execute(f"select id, customer, status, amount, note, changed from {table} order by id")
        for row in cursor:
            yield (*row[:5], row[5].astimezone(datetime.timezone.utc).isoformat())


def churn(pg, a):
    """An hour of random upserts in less time: as many commits and rows, closer together."""
    fill(pg, "churn", a.churn_rows)
    # Ten times as fast: a commit every 100 ms stands for one every second, and what upkeep keeps for ten minutes it keeps for one.
    folder = project(SOURCE.format(url=pg.url("bench"), table="churn", every="100ms", keep="1m"))
    lakebox = Lakebox(folder)
    try:
        lakebox.until_durable(number(pg.one("select pg_current_wal_lsn()")), 3600)
        dice, top, samples, began = random.Random(11), a.churn_rows, [], time.monotonic()
        for tick in range(a.churn_commits):
            keys = sorted({dice.randrange(1, top + 1) for _ in range(a.churn_changes)})
            third = max(len(keys) // 20, 1)
            with pg.db.transaction():
                pg.db.execute("update churn set amount = amount + 1, status = 'sent', changed = now() where id = any(%s)", (keys[third:],))
                pg.db.execute("delete from churn where id = any(%s)", (keys[:third],))
                pg.db.execute("insert into churn select g, 1, 'new', 1, 'order ' || md5(g::text), now() from generate_series(%s::bigint, %s::bigint) g",
                              (top + 1, top + third))
            top += third
            if tick % max(a.churn_commits // 40, 1) == 0:
                samples.append({"at_s": time.monotonic() - began, **measure(lakebox, folder)})
            time.sleep(max(began + (tick + 1) * 0.1 - time.monotonic(), 0))
        took = time.monotonic() - began
        lakebox.until_durable(number(pg.one("select pg_current_wal_lsn()")), 600)
        samples.append({"at_s": took, **measure(lakebox, folder)})
        with psycopg.connect(pg.url("bench")) as source, psycopg.connect(PGWIRE) as lake:
            for db in (source, lake):
                db.execute("set timezone = 'UTC'")
            expected, found = fingerprint(all_rows(source, "churn")), fingerprint(all_rows(lake, "silver.bench_churn"))
        assert expected == found, f"the source has {expected}, silver has {found}"
        with psycopg.connect(PGWIRE, autocommit=True) as db:
            db.execute("create schema if not exists bench")
            db.execute("create table bench.fresh as select * from silver.bench_churn")
            sql = "select status, count(*), sum(amount), max(note), min(changed), sum(customer) from {} group by status"
            times = {"silver.bench_churn": [], "bench.fresh": []}
            for round_ in range(a.rounds // 10 + 5):
                for table, all_ in times.items():
                    took_ms = timed(lambda table=table: db.execute(sql.format(table)).fetchall(), 1)[0]
                    if round_ >= 5:
                        all_.append(took_ms)
        churned, fresh = (statistics.median(t) for t in times.values())
        return {"rows": a.churn_rows, "commits": a.churn_commits, "changes": a.churn_changes, "seconds": took, "samples": samples,
                "compared": expected[0], "churned_ms": churned, "fresh_ms": fresh, "ratio": churned / fresh}
    finally:
        lakebox.kill()
        pg_clean(pg)
        shutil.rmtree(folder)


def mb(n):
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.0f} kB"


def page(result, machine):
    out = ["# Lake benchmarks", "", f"Measured {result['date']} with `make bench-lake` on {machine}; the source, lakebox and the clients share it.", ""]
    if found := result.get("lookups"):
        out += ["## Lookups by key", "",
                f"`SELECT * FROM silver.bench_item WHERE id = $1`, a random key each time, prepared once for each connection, over the PostgreSQL wire. The table "
                f"has {found['rows']:,} rows in {found['files']} files and came through change data capture; meanwhile {found['rate']:,.0f} random rows a second change. "
                f"Every answer was checked to be the one row.", "",
                "| Connections | Lookups per second | p50 | p90 | p99 | p99.9 | longest |", "|---|---|---|---|---|---|---|"]
        for run in found["runs"]:
            out.append(f"| {run['connections']} | {run['lookups'] / run['seconds']:,.0f} | " +
                       " | ".join(f"{run[k]:.2f} ms" for k in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")) + " |")
        out += ["", f"Peak memory of lakebox: {mb(found['memory'])}.", ""]
    if found := result.get("plans"):
        out += ["## Plans on old tables", "",
                "Two tables with as many rows, one of 10 commits and one of many, each with a deleted row, five seconds apart, upkeep looking after each "
                "minute. The time is that of an EXPLAIN of a filter and an aggregation, over the PostgreSQL wire, taking turns.", "",
                "| Commits | Files | Snapshots | Metadata file | Time to plan |", "|---|---|---|---|---|"]
        for name in ("few", "many"):
            made = found[name]
            out.append(f"| {made['commits']:,} | {made['files']} | {made['snapshots']} | {mb(made['metadata_bytes'])} | {found[name + '_ms']:.2f} ms |")
        out += ["", f"Ratio: {found['ratio']:.2f}.", ""]
    if found := result.get("listings"):
        out += [f"## A catalog of {found['tables']:,} tables", "",
                f"The program is ready {found['start_s']:.1f} s after its start, and holds {mb(found['memory'])}.", "", "| List | Rows | p50 | longest of 15 |", "|---|---|---|---|"]
        out += [f"| `{name}` | {way['rows']:,} | {way['p50_ms']:.0f} ms | {way['max_ms']:.0f} ms |" for name, way in found["ways"].items()]
        out.append("")
    if found := result.get("churn"):
        out += ["## Changes without end", "",
                f"{found['commits']:,} commits of about {found['changes']} random updates, deletes and inserts each, to a table of {found['rows']:,} rows: as many as an hour has "
                f"at a commit a second, in {found['seconds']:.0f} s. Time is compressed tenfold: a commit each 100 ms, and former states stay for one minute instead of ten. Upkeep is on.", "",
                "| After | Data files | Delete files | Deleted rows | Snapshots | Metadata file | Metadata folder | Lake |", "|---|---|---|---|---|---|---|---|"]
        samples = found["samples"]
        chosen = [samples[i * (len(samples) - 1) // 10] for i in range(11)] if len(samples) > 11 else samples
        for s in chosen:
            out.append(f"| {s['at_s']:.0f} s | {s['data_files']} | {s['delete_files']} | {s['deleted_rows']:,} | {s['snapshots']} | {mb(s['metadata_json'])} | "
                       f"{mb(s['metadata_folder'])} | {mb(s['lake'])} |")
        out += ["", f"All {found['compared']:,} rows were compared with the source's at the end and are equal. An aggregation over the table takes {found['churned_ms']:.0f} ms, over a "
                f"freshly written copy {found['fresh_ms']:.0f} ms: ratio {found['ratio']:.2f}.", ""]
    return "\n".join(out)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=20_000_000, help="of the table in which keys are looked up")
    arguments.add_argument("--rate", type=int, default=2_000, help="rows that change each second meanwhile")
    arguments.add_argument("--seconds", type=int, default=60, help="for each number of connections")
    arguments.add_argument("--commits", type=int, default=10_000)
    arguments.add_argument("--plan-rows", type=int, default=1_000_000)
    arguments.add_argument("--tables", type=int, default=5_000)
    arguments.add_argument("--churn-rows", type=int, default=1_000_000)
    arguments.add_argument("--churn-commits", type=int, default=3_600)
    arguments.add_argument("--churn-changes", type=int, default=500)
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--only", default="lookups,plans,listings,churn")
    arguments.add_argument("--no-docs", action="store_true")
    a = arguments.parse_args()
    only = a.only.split(",")
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU")
    machine = f"{os.cpu_count()} cores of {cpu}, {platform.system()} {platform.release()}"
    result = {"date": datetime.date.today().isoformat(), "machine": machine, "command": "make bench-lake"}
    if "plans" in only:
        result["plans"] = plans(a)
    if "listings" in only:
        result["listings"] = listings(a)
    if "lookups" in only or "churn" in only:
        pg = Postgres()
        try:
            if "churn" in only:
                result["churn"] = churn(pg, a)
            if "lookups" in only:
                result["lookups"] = lookups(pg, a)
        finally:
            pg.stop()
    text = page(result, machine)
    print(text)
    (ROOT / "bench-lake.json").write_text(json.dumps(result, indent=2) + "\n")
    if not a.no_docs:
        (ROOT / "docs/BENCHMARKS-LAKE.md").write_text(text)


if __name__ == "__main__":
    main()
