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

    def upkeep(self):
        """Asks for upkeep of all tables and waits for it."""
        request = urllib.request.Request(self.base + "/api/v1/upkeep", b'{"wait": true}', {"content-type": "application/json"})
        with OPENER.open(request, timeout=3600) as answer:
            failed = [run for run in json.loads(answer.read())["runs"] if run["error"]]
        if failed:
            sys.exit(f"upkeep failed: {failed}")

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
        if variant == "-kept":
            lakebox = Lakebox(project, 28460)
            lakebox.upkeep()
            lakebox.stop()
        (project / "loaded").touch()
    return project


def geometric(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def measure(suite, engines, rounds, only, known):
    """Milliseconds per query and engine, one list entry per round; the engines take turns, and who begins changes. `known` keeps DuckDB's answers."""
    times, answers, wrong = {}, {}, []
    names = list(engines)
    for name, sql in queries(suite):
        if only and name not in only:
            continue
        for engine in names:
            _, answers[engine] = engines[engine].run(sql)
        reference = known.setdefault(name, answers["duckdb"]) if "duckdb" in answers else known[name]
        wrong += [f"{suite} {name}: {engine} differs from DuckDB" for engine in names if not same(answers[engine], reference)]
        for round_ in range(rounds):
            turn = round_ % len(names)
            for engine in names[turn:] + names[:turn]:
                ms, _ = engines[engine].run(sql)
                times.setdefault(name, {}).setdefault(engine, []).append(ms)
        best = {engine: min(times[name][engine]) for engine in names}
        print(suite, name, "  ".join(f"{engine} {best[engine]:.0f}" for engine in names), flush=True)
    return times, wrong


PAIRS = {("engine", "plain"): "lakebox's engine / plain DataFusion", ("lakebox", "duckdb"): "lakebox / DuckDB"}


def table(times):
    """A Markdown table of medians in milliseconds, with the ratio of each pair that took turns, and geometric means of these."""
    engines = list(next(iter(times.values())))
    pairs = [pair for pair in PAIRS if pair[0] in engines and pair[1] in engines]
    names = {"engine": "engine", "plain": "plain DataFusion", "lakebox": "lakebox", "duckdb": "DuckDB"}
    lines = ["| query | " + " | ".join(f"{names[n]} ms" for n in engines) + " | " + " | ".join(PAIRS[pair] for pair in pairs) + " |",
             "|---" * (1 + len(engines) + len(pairs)) + "|"]
    ratios = {pair: [] for pair in pairs}
    for query, of in times.items():
        cells = [f"{statistics.median(of[n]):.0f}" for n in engines]
        for one, other in pairs:
            # Neighbours in time met the same load of the machine.
            ratios[one, other].append(statistics.median(a / b for a, b in zip(of[one], of[other])))
            cells.append(f"{ratios[one, other][-1]:.2f}")
        lines.append(f"| {query} | " + " | ".join(cells) + " |")
    means = [""] * len(engines) + [f"**{geometric(ratios[pair]):.2f}**" for pair in pairs]
    lines.append("| geometric mean | " + " | ".join(means) + " |")
    return "\n".join(lines), {PAIRS[pair]: geometric(ratios[pair]) for pair in pairs}


VARIANTS = {
    "": "",
    "-deleted": ", 2 % of the rows superseded and hidden by position deletes",
    "-kept": ", the same after upkeep",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suites", default="tpch,hits")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="'' is the tables as written, -deleted and -kept those with deletes and after upkeep")
    parser.add_argument("--queries", default="", help="only these, for example q01,q17")
    parser.add_argument("--no-doc", action="store_true", help="leave docs/BENCHMARKS-QUERY.md as it is")
    options = parser.parse_args()
    only = set(filter(None, options.queries.split(",")))
    parts, wrong = [], []
    for suite in options.suites.split(","):
        # Neither of the others knows position deletes: tables with deletes are compared with the clean ones, answers included.
        clean, known = load(suite, ""), {}
        for variant in options.variants.split(","):
            project, all_times = load(suite, variant), {}
            # Two at a time, since a project is one program's: DuckDB first, for its answers.
            for make in (lambda: {"lakebox": Lakebox(project, 28460), "duckdb": Duck(clean)},
                         lambda: {"engine": Program("lake", project), "plain": Program("plain", project)}):
                if variant and all_times:
                    break
                engines = make()
                times, bad = measure(suite, engines, options.rounds, only, known)
                for engine in engines.values():
                    engine.stop()
                wrong += bad
                for name, of in times.items():
                    all_times.setdefault(name, {}).update(of)
            text, means = table(all_times)
            title = SUITES[suite] + VARIANTS[variant]
            parts.append((title, text, means))
            print(f"\n{title}\n{text}\n", flush=True)
    if not options.no_doc:
        write(parts, options)
    if wrong:
        sys.exit("\n".join(wrong))


def write(parts, options):
    """docs/BENCHMARKS-QUERY.md."""
    summary = "\n".join(f"* {title}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in means.items()) for title, _, means in parts)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    body = f"""# Query benchmarks

Made by `make bench-query` on {datetime.date.today():%d %B %Y}: {machine}. All programs read the same Parquet files, those that lakebox wrote (zstd). Two programs at a time take turns query
by query, {options.rounds} rounds after one warm-up; figures are medians, ratios are medians of ratios of neighbours in time, and every answer was compared with DuckDB's. *lakebox* is asked over HTTP;
*engine* is lakebox's engine with its own table provider in the process that asks, as plain DataFusion is, the library of the same version with its own Parquet tables. DuckDB is {duckdb.__version__} with its default
settings. It does not know lakebox's position deletes, so for tables with deletes it reads the clean files.

Geometric means over all queries, below 1 is faster:

{summary}

"""
    body += "\n".join(f"## {title[0].upper() + title[1:]}\n\n{text}\n" for title, text, _ in parts)
    body += (HERE / "notes.md").read_text()
    (ROOT / "docs" / "BENCHMARKS-QUERY.md").write_text(body)


if __name__ == "__main__":
    main()
