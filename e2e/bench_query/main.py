"""lakebox, plain DataFusion and DuckDB over the same Parquet files, in one run, alternating. Compares answers, prints a table, renews docs/BENCHMARKS-QUERY.md."""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = pathlib.Path(os.environ["BENCH_QUERY_DATA"])
BENCH = os.environ["BENCH_QUERY_BIN"]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SUITES = {
    "tpch": "TPC-H at scale 3",
    "hits": "a wide table of web hits, 62 columns, 4 million rows",
}


class Lakebox:
    """`lakebox serve` over a loaded project, asked over HTTP."""

    def __init__(self, project, http):
        config = f'server: {{ http: "127.0.0.1:{http}", pgwire: "127.0.0.1:{http + 1}", flight: "127.0.0.1:{http + 2}", query_memory: 4GiB }}\n'
        (project / "lakebox.yaml").write_text(config)
        (project / "models").mkdir(exist_ok=True)
        self.base = f"http://127.0.0.1:{http}"
        self.log = open(project / "lakebox.log", "wb")
        self.process = subprocess.Popen([os.environ["LAKEBOX_BIN"], "serve", "--config", "lakebox.yaml"], cwd=project,
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                with OPENER.open(self.base + "/readyz", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit((project / "lakebox.log").read_text()[-2000:])
                time.sleep(0.02)

    def run(self, sql):
        request = urllib.request.Request(self.base + "/api/v1/sql", json.dumps({"query": sql}).encode(), {"content-type": "application/json"})
        began = time.perf_counter()
        try:
            with OPENER.open(request, timeout=600) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            sys.exit(f"lakebox refused: {error.read().decode()}\n{sql}")
        ms = (time.perf_counter() - began) * 1e3
        return ms, json.loads(body)["rows"]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


class Program:
    """A mode of the example binary that answers statements from standard input: plain DataFusion, or lakebox's engine without HTTP."""

    def __init__(self, mode, project):
        self.process = subprocess.Popen([BENCH, mode, str(project)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sql):
        self.process.stdin.write(json.dumps(sql) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            sys.exit(f"{answer['error']}\n{sql}")
        return answer["ms"], answer["rows"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Duck:
    """DuckDB with its default settings, and views over the files that lakebox wrote."""

    def __init__(self, project):
        self.con = duckdb.connect()
        for folder in sorted((project / "lake" / "gold").iterdir()):
            self.con.execute(f"create view {folder.name} as select * from read_parquet('{folder}/data/*.parquet')")

    def run(self, sql):
        began = time.perf_counter()
        rows = self.con.execute(sql).fetchall()
        return (time.perf_counter() - began) * 1e3, rows

    def stop(self):
        self.con.close()


def queries(suite):
    """(name, statement) of a suite."""
    if suite == "hits":
        statements = [s.strip() for s in (HERE / "hits.sql").read_text().split(";") if s.strip()]
        return [(f"h{i + 1:02}", sql) for i, sql in enumerate(statements)]
    return [(file.stem, file.read_text()) for file in sorted((DATA / "source" / "tpch").glob("q*.sql"))]


def normal(value):
    """A value as text that is equal where two engines mean the same: numbers to nine digits, times without trailing zeros."""
    if value is None or value == "NULL":
        return "NULL"
    if isinstance(value, bool) or value in ("true", "false"):
        return str(value).lower()
    text = str(value)
    try:
        return f"{float(text):.9g}"
    except ValueError:
        pass
    if isinstance(value, (datetime.datetime, datetime.date)) or (len(text) >= 19 and text[4] == "-" and text[13] == ":"):
        text = text.replace("T", " ").removesuffix("Z")
        return text.removesuffix(" 00:00:00") if "." not in text else text.rstrip("0").rstrip(".")
    return text


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def close(left, right):
    """Whether two values mean the same: equal as text, or numbers that differ only by the digits that one of them does not have."""
    if normal(left) == normal(right):
        return True
    try:
        x, y = float(left), float(right)
    except (TypeError, ValueError):
        return False
    places = [len(str(v).partition(".")[2]) for v in (left, right)]
    if places[0] != places[1] and min(places) >= 4:
        # An average of decimals has six places here and is a double there.
        return abs(x - y) <= 10.0 ** -min(places)
    # Sums of floats depend on the order of adding.
    return math.isclose(x, y, rel_tol=1e-9)


def same(left, right):
    """Whether two answers hold the same rows; the order among equal sort keys is left to the engine."""
    def rough(row):
        texts = [normal(v) for v in row]
        # Texts sort first: numbers may differ in digits that one engine does not have.
        return [t for t in texts if not is_number(t)], [f"{float(t):.4g}" for t in texts if is_number(t)]
    a, b = sorted(left, key=rough), sorted(right, key=rough)
    return len(a) == len(b) and all(len(x) == len(y) and all(map(close, x, y)) for x, y in zip(a, b))


def load(suite, variant):
    """The project folder with the suite's tables, filled once."""
    project = DATA / f"{suite}{variant}"
    if not (project / "loaded").exists():
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        subprocess.run([BENCH, "load-deleted" if variant else "load", project, DATA / "source" / suite], check=True)
        (project / "loaded").touch()
    return project


def geometric(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def measure(suite, engines, rounds, only):
    """Milliseconds per query and engine, one list entry per round; the engines take turns, and who begins changes."""
    times, answers, wrong = {}, {}, []
    names = list(engines)
    for name, sql in queries(suite):
        if only and name not in only:
            continue
        for engine in names:
            _, answers[engine] = engines[engine].run(sql)
        reference = answers.get("duckdb", answers[names[0]])
        wrong += [f"{suite} {name}: {engine} differs from DuckDB" for engine in names if not same(answers[engine], reference)]
        for round_ in range(rounds):
            turn = round_ % len(names)
            for engine in names[turn:] + names[:turn]:
                ms, _ = engines[engine].run(sql)
                times.setdefault(name, {}).setdefault(engine, []).append(ms)
        best = {engine: min(times[name][engine]) for engine in names}
        print(suite, name, "  ".join(f"{engine} {best[engine]:.0f}" for engine in names), flush=True)
    return times, wrong


def table(times, names):
    """A Markdown table of medians in milliseconds, with ratios to plain DataFusion and DuckDB, and geometric means."""
    against = [n for n in ("plain", "duckdb") if n in names]
    lines = ["| query | " + " | ".join(f"{n} ms" for n in names) + " | " + " | ".join(f"lakebox / {n}" for n in against) + " |",
             "|---" * (1 + len(names) + len(against)) + "|"]
    ratios = {n: [] for n in against}
    for query, of in times.items():
        cells = [f"{statistics.median(of[n]):.0f}" for n in names]
        for n in against:
            # Neighbours in time met the same load of the machine.
            ratios[n].append(statistics.median(a / b for a, b in zip(of["lakebox"], of[n])))
            cells.append(f"{ratios[n][-1]:.2f}")
        lines.append(f"| {query} | " + " | ".join(cells) + " |")
    means = [""] * len(names) + [f"**{geometric(ratios[n]):.2f}**" for n in against]
    lines.append("| geometric mean | " + " | ".join(means) + " |")
    return "\n".join(lines), {n: geometric(ratios[n]) for n in against}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suites", default="tpch,hits")
    parser.add_argument("--queries", default="", help="only these, for example q01,q17")
    parser.add_argument("--in-process", action="store_true", help="lakebox's engine without HTTP, for finding out where time goes")
    parser.add_argument("--no-doc", action="store_true", help="leave docs/BENCHMARKS-QUERY.md as it is")
    options = parser.parse_args()
    only = set(filter(None, options.queries.split(",")))
    parts, wrong = [], []
    for suite in options.suites.split(","):
        for variant in ("", "-deleted"):
            project = load(suite, variant)
            lakebox = Program("lake", project) if options.in_process else Lakebox(project, 28460)
            engines = {"lakebox": lakebox}
            if not variant:
                engines["plain"] = Program("plain", project)
            # Neither of the others knows position deletes: the tables with deletes are compared with the clean ones, answers included.
            engines["duckdb"] = Duck(load(suite, ""))
            times, bad = measure(suite, engines, options.rounds, only)
            for engine in engines.values():
                engine.stop()
            wrong += bad
            text, means = table(times, list(engines))
            title = SUITES[suite] + (", 2 % of the rows superseded and hidden by position deletes" if variant else "")
            parts.append((title, text, means))
            print(f"\n{title}\n{text}\n", flush=True)
    if not options.no_doc:
        write(parts, options)
    if wrong:
        sys.exit("\n".join(wrong))


def write(parts, options):
    """docs/BENCHMARKS-QUERY.md."""
    summary = "\n".join(f"* {title}: " + ", ".join(f"{ratio:.2f} of {n}" for n, ratio in means.items()) for title, _, means in parts)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    names = {"plain": "plain DataFusion", "duckdb": "DuckDB"}
    for short, name in names.items():
        summary = summary.replace(f" of {short}", f" of {name}'s time")
    body = f"""# Query benchmarks

Made by `make bench-query` on {datetime.date.today():%d %B %Y}: {machine}. All programs read the same Parquet files, those that lakebox wrote
(zstd). They take turns query by query, {options.rounds} rounds after one warm-up; figures are medians, ratios are medians of ratios of neighbours
in time, and every answer was compared with DuckDB's. lakebox is asked over HTTP and reads through its own table provider; plain DataFusion is the
library of the same version with its own Parquet tables; DuckDB is {duckdb.__version__} with its default settings.

Geometric means over all queries, below 1 is faster:

{summary}

"""
    body += "\n".join(f"## {title[0].upper() + title[1:]}\n\n{text}\n" for title, text, _ in parts)
    (ROOT / "docs" / "BENCHMARKS-QUERY.md").write_text(body)


if __name__ == "__main__":
    main()
