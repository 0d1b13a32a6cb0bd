"""lakebox against the source's own tools, in one run, alternating. Prints a table, writes JSON, renews docs/BENCHMARKS.md."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import threading
import time

import psycopg
from servers import Lakebox, Postgres, number, project

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """sources:
  bench:
    type: postgres
    url: {url}
    tables: ["public.{table}"]
    commit: {{ every: {every} }}
    snapshot: {{ connections: {connections} }}
"""
TABLES = {
    "h": ("create table h(tid int, bid int, aid int, delta int, mtime timestamptz, filler char(22))",
          "insert into h select g % 10, 1, g, g % 1000, now(), '' from generate_series({a}, {b}) g"),
    "acc": ("create table acc(aid int primary key, bid int not null, abalance int, filler char(84))",
            "insert into acc select g, 1, 0, '' from generate_series({a}, {b}) g"),
}


def median(values):
    return statistics.median(values)


def stream(pg, table, rows, rounds):
    """The same WAL through pg_recvlogical into /dev/null and through lakebox to committed bronze and silver."""
    create, insert = TABLES[table]
    pg.db.execute(f"drop table if exists {table}")
    pg.db.execute(create)
    body = SOURCE.format(url=pg.url("bench"), table=table, every="1s", connections=1)
    folder = project(body)
    first = Lakebox(folder)
    first.until_durable(1)
    first.stop()
    slot = pg.one("select slot_name from pg_replication_slots where slot_name like 'lakebox%%'")
    publication = pg.one("select pubname from pg_publication_tables where tablename = %s limit 1", table)
    pg.one("select pg_copy_logical_replication_slot(%s, 'keep')", slot)
    for part in range(20):
        pg.db.execute(insert.format(a=part * rows // 20 + 1, b=(part + 1) * rows // 20))
    end = pg.one("select pg_current_wal_lsn()")
    # pg_recvlogical stops at the first message from behind the end; without one it would wait for a keepalive, and look slower than it is.
    pg.db.execute(insert.format(a=rows + 1, b=rows + 1))
    pg.db.execute("checkpoint")
    keep = folder.with_name(folder.name + "-keep")
    shutil.copytree(folder, keep)
    figures = {"recv_s": [], "lakebox_s": [], "cpu_s": [], "memory": []}
    for round_ in range(rounds):
        pg.one("select pg_copy_logical_replication_slot('keep', 'raw')")
        begin = time.monotonic()
        pg.run("pg_recvlogical", "-d", "bench", "--slot", "raw", "--start", "--endpos", end, "-o", "proto_version=1",
               "-o", f"publication_names={publication}", "-F", "0", "--no-loop", "-f", "/dev/null")
        figures["recv_s"].append(time.monotonic() - begin)
        pg.one("select pg_drop_replication_slot('raw')")
        pg.one("select pg_drop_replication_slot(%s)", slot)
        pg.one("select pg_copy_logical_replication_slot('keep', %s)", slot)
        shutil.rmtree(folder)
        shutil.copytree(keep, folder)
        lakebox = Lakebox(folder)
        figures["lakebox_s"].append(lakebox.until_durable(number(end)))
        figures["cpu_s"].append(lakebox.cpu_s())
        figures["memory"].append(lakebox.memory())
        count = lakebox.sql(f"select count(*) from silver.bench_{table}")[0][0]
        assert int(count) in (rows, rows + 1), f"silver has {count} rows, the source {rows + 1}"
        lakebox.kill()
        wait_slot_free(pg, slot)
    pg.one("select pg_drop_replication_slot(%s)", slot)
    pg.one("select pg_drop_replication_slot('keep')")
    shutil.rmtree(folder)
    shutil.rmtree(keep)
    recv, ours, cpu = median(figures["recv_s"]), median(figures["lakebox_s"]), median(figures["cpu_s"])
    return {"rows": rows, "recv_rows_s": rows / recv, "lakebox_rows_s": rows / ours, "ratio": recv / ours,
            "cpu_s": cpu, "rows_per_cpu_s": rows / cpu, "memory_mb": median(figures["memory"]) / 1e6}


def wait_slot_free(pg, slot):
    while pg.one("select active from pg_replication_slots where slot_name = %s", slot):
        time.sleep(0.02)


def copy_to_null(pg, table, connections):
    """Binary COPY of the whole table into /dev/null, split by CTID over connections."""
    pages = pg.one(f"select relpages from pg_class where relname = '{table}'")
    step = pages // connections + 1
    begin = time.monotonic()
    running = []
    for part in range(connections):
        where = f"where ctid >= '({part * step},0)' and ctid < '({(part + 1) * step},0)'" if connections > 1 else ""
        sql = f"copy (select * from {table} {where}) to stdout (format binary)" if where else f"copy {table} to stdout (format binary)"
        command = [f"{pg.bindir}/psql", pg.url("bench"), "-qc", sql]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    assert all(process.wait() == 0 for process in running)
    return time.monotonic() - begin


def snapshot(pg, table, rows, rounds, connections):
    """The first copy of a table, against binary COPY into /dev/null over as many connections."""
    create, insert = TABLES[table]
    pg.db.execute(f"drop table if exists {table}")
    pg.db.execute(create)
    pg.db.execute(insert.format(a=1, b=rows))
    pg.db.execute(f"vacuum analyze {table}")
    body = SOURCE.format(url=pg.url("bench"), table=table, every="1s", connections=connections)
    figures = {"copy_s": [], "lakebox_s": [], "cpu_s": [], "memory": []}
    for _ in range(rounds):
        figures["copy_s"].append(copy_to_null(pg, table, connections))
        folder = project(body)
        lakebox = Lakebox(folder)
        figures["lakebox_s"].append(lakebox.until_durable(1))
        figures["cpu_s"].append(lakebox.cpu_s())
        figures["memory"].append(lakebox.memory())
        count = lakebox.sql(f"select count(*) from silver.bench_{table}")[0][0]
        assert int(count) == rows, f"silver has {count} rows, the source {rows}"
        lakebox.kill()
        shutil.rmtree(folder)
        drop_slots(pg)
    copy, ours, cpu = median(figures["copy_s"]), median(figures["lakebox_s"]), median(figures["cpu_s"])
    return {"rows": rows, "connections": connections, "copy_rows_s": rows / copy, "lakebox_rows_s": rows / ours, "ratio": copy / ours,
            "cpu_s": cpu, "rows_per_cpu_s": rows / cpu, "memory_mb": median(figures["memory"]) / 1e6}


def drop_slots(pg):
    for (slot,) in pg.db.execute("select slot_name from pg_replication_slots").fetchall():
        wait_slot_free(pg, slot)
        pg.one("select pg_drop_replication_slot(%s)", slot)


def freshness(pg, rate, seconds):
    """Source commit to visible in SQL, while `rate` changes a second flow in transactions of ten rows."""
    pg.db.execute("drop table if exists probe")
    pg.db.execute("create table probe(id bigint primary key, filler text)")
    folder = project(SOURCE.format(url=pg.url("bench"), table="probe", every="5s", connections=1))
    lakebox = Lakebox(folder)
    lakebox.until_durable(1)
    committed, seen, stop = [], [], threading.Event()

    def write():
        with psycopg.connect(pg.url("bench"), autocommit=True) as c:
            begin, n = time.monotonic(), 0
            while not stop.is_set():
                c.execute("insert into probe select g, repeat('x', 60) from generate_series(%s::bigint, %s::bigint) g", (n + 1, n + 10))
                n += 10
                committed.append((n, time.monotonic()))
                wait = begin + n / rate - time.monotonic()
                if wait > 0:
                    stop.wait(wait)

    writer = threading.Thread(target=write)
    writer.start()
    begin = time.monotonic()
    cpu0 = lakebox.cpu_s()
    while time.monotonic() - begin < seconds:
        value = lakebox.sql("select max(id) from silver.bench_probe")[0][0]
        seen.append((int(value or 0), time.monotonic()))
        time.sleep(0.005)
    cpu = (lakebox.cpu_s() - cpu0) / seconds
    stop.set()
    writer.join()
    lakebox.kill()
    shutil.rmtree(folder)
    drop_slots(pg)
    delays, at = [], 0
    for n, when in committed:
        while at < len(seen) and seen[at][0] < n:
            at += 1
        if at == len(seen):
            break
        delays.append(max(0.0, seen[at][1] - when) * 1000)
    delays.sort()
    done = committed[-1][0] / (committed[-1][1] - committed[0][1])
    return {"rate": rate, "achieved_rate": done, "p50_ms": delays[len(delays) // 2], "p99_ms": delays[int(len(delays) * 0.99)],
            "samples": len(delays), "lakebox_cores": cpu}


def idle(pg):
    """Start to ready, and memory once nothing happens."""
    pg.db.execute("drop table if exists still")
    pg.db.execute("create table still(id int primary key)")
    folder = project(SOURCE.format(url=pg.url("bench"), table="still", every="5s", connections=1))
    Lakebox(folder).stop()
    starts, memory = [], 0
    for _ in range(5):
        lakebox = Lakebox(folder)
        starts.append(lakebox.ready_s)
        lakebox.sql("select 1")
        time.sleep(2)
        memory = lakebox.memory("VmRSS")
        lakebox.stop()
    shutil.rmtree(folder)
    drop_slots(pg)
    return {"start_to_ready_s": median(starts), "idle_memory_mb": memory / 1e6}


def table(result):
    """The figures as Markdown."""
    lines = ["| What | Reference | lakebox | Ratio | Rows per CPU second | Peak memory |", "|---|---|---|---|---|---|"]
    rate = lambda v: f"{v / 1e3:,.0f} k rows/s"
    for name, f in result["stream"].items():
        lines.append(f"| stream `{name}`, {f['rows'] / 1e6:.0f} M rows | pg_recvlogical to /dev/null {rate(f['recv_rows_s'])} | {rate(f['lakebox_rows_s'])} "
                     f"| {f['ratio']:.2f} | {f['rows_per_cpu_s'] / 1e3:,.0f} k | {f['memory_mb']:.0f} MB |")
    for name, f in result["snapshot"].items():
        lines.append(f"| snapshot `{name}`, {f['rows'] / 1e6:.0f} M rows, {f['connections']} connection(s) | binary COPY to /dev/null {rate(f['copy_rows_s'])} "
                     f"| {rate(f['lakebox_rows_s'])} | {f['ratio']:.2f} | {f['rows_per_cpu_s'] / 1e3:,.0f} k | {f['memory_mb']:.0f} MB |")
    lines += ["", "| Freshness: source commit to visible in SQL | Achieved rate | p50 | p99 | lakebox CPU |", "|---|---|---|---|---|"]
    for f in result["freshness"]:
        lines.append(f"| {f['rate']:,} changes/s asked | {f['achieved_rate']:,.0f}/s | {f['p50_ms']:.0f} ms | {f['p99_ms']:.0f} ms | {f['lakebox_cores']:.2f} cores |")
    i = result["idle"]
    lines += ["", f"Start to ready {i['start_to_ready_s'] * 1000:.0f} ms; idle memory {i['idle_memory_mb']:.0f} MB."]
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=2_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--only", default="stream,snapshot,freshness,idle")
    arguments.add_argument("--no-docs", action="store_true")
    a = arguments.parse_args()
    only = a.only.split(",")
    pg = Postgres()
    result = {"stream": {}, "snapshot": {}, "freshness": [], "idle": {"start_to_ready_s": 0, "idle_memory_mb": 0}}
    try:
        if "idle" in only:
            result["idle"] = idle(pg)
        for name in TABLES:
            if "stream" in only:
                result["stream"][name] = stream(pg, name, a.rows, a.rounds)
            if "snapshot" in only:
                result["snapshot"][name] = snapshot(pg, name, a.rows, a.rounds, 2)
        if "freshness" in only:
            result["freshness"] = [freshness(pg, rate, a.seconds) for rate in (2_000, 10_000)]
    finally:
        pg.stop()
    text = table(result)
    print(text)
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU")
    machine = f"{os.cpu_count()} cores of {cpu}, {platform.system()} {platform.release()}"
    result |= {"date": datetime.date.today().isoformat(), "machine": machine, "command": "make bench"}
    (ROOT / "bench.json").write_text(json.dumps(result, indent=2) + "\n")
    if not a.no_docs:
        page = (f"# Benchmarks\n\nMeasured {result['date']} with `make bench` on {machine}; PostgreSQL 15 on the same machine. Medians of {a.rounds} "
                f"alternating runs. Absolute times drift from machine to machine: read the ratios. Stream and snapshot count from the start of the process "
                f"until bronze and silver are committed and the cursor is stored.\n\n{text}\n")
        (ROOT / "docs/BENCHMARKS.md").write_text(page)


if __name__ == "__main__":
    main()
