"""A private PostgreSQL and lakebox processes for the benchmark. Everything on loopback, everything stopped by process id."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Postgres:
    """PostgreSQL 15 (Debian's) with wal_level=logical in a temporary folder."""

    def __init__(self, port=28432, bindir="/usr/lib/postgresql/15/bin"):
        self.port, self.bindir = port, bindir
        self.dir = tempfile.mkdtemp(prefix="lakebox-bench-pg")
        os.chmod(self.dir, 0o755)
        subprocess.run(["bash", HERE.parent / "servers/start_postgres.sh", self.dir, str(port), bindir], check=True)
        with psycopg.connect(self.url("postgres"), autocommit=True) as c:
            c.execute("alter system set max_wal_size = '8GB'")
            c.execute("alter system set shared_buffers = '512MB'")
            c.execute("alter system set synchronous_commit = off")
            c.execute("select pg_reload_conf()")
            c.execute("create database bench")
        self.db = psycopg.connect(self.url("bench"), autocommit=True)

    def url(self, database):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def one(self, sql, *args):
        row = self.db.execute(sql, args or None).fetchone()
        return row[0] if row else None

    def run(self, program, *args, **kw):
        command = [f"{self.bindir}/{program}", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", *args]
        return subprocess.run(command, check=True, **kw)

    def stop(self):
        self.db.close()
        subprocess.run(["bash", HERE.parent / "servers/stop_postgres.sh", self.dir, "fast", self.bindir], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Lakebox:
    """One `lakebox serve` over a project folder."""

    def __init__(self, project, http=28480, pgwire=28481):
        self.project, self.base = pathlib.Path(project), f"http://127.0.0.1:{http}"
        self.started = time.monotonic()
        self.log = open(self.project / "lakebox.log", "ab")
        self.process = subprocess.Popen(
            [os.environ["LAKEBOX_BIN"], "serve", "--config", "lakebox.yaml"],
            cwd=self.project, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
        )
        self.ready_s = self._until(lambda: self.get("/readyz", raw=True) == "ready", 60)

    def _until(self, probe, patience):
        deadline = time.monotonic() + patience
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"lakebox ended: {(self.project / 'lakebox.log').read_text()[-2000:]}")
            try:
                if probe():
                    return time.monotonic() - self.started
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {patience} s; log: {(self.project / 'lakebox.log').read_text()[-2000:]}")
            time.sleep(0.005)

    def get(self, path, raw=False):
        with OPENER.open(self.base + path, timeout=30) as answer:
            body = answer.read()
        return body.decode() if raw else json.loads(body)

    def sql(self, query):
        data = json.dumps({"query": query}).encode()
        request = urllib.request.Request(self.base + "/api/v1/sql", data, {"content-type": "application/json"})
        with OPENER.open(request, timeout=120) as answer:
            return json.loads(answer.read())["rows"]

    def until_durable(self, lsn, patience=300):
        """Seconds from the start of the process until the durable cursor is at `lsn` or beyond."""
        def there():
            cursor = self.get("/api/v1/pipelines")[0]["cursor"]
            return cursor is not None and number(cursor) >= lsn
        return self._until(there, patience)

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, which="VmHWM"):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(which + ":"):
                return int(line.split()[1]) * 1024
        return 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


def project(body, http=28480, pgwire=28481):
    """A folder with a configuration."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lakebox-bench"))
    (folder / "models").mkdir()
    text = f'{body}\nserver: {{ http: "127.0.0.1:{http}", pgwire: "127.0.0.1:{pgwire}", flight: "127.0.0.1:{pgwire + 1}" }}\n'
    (folder / "lakebox.yaml").write_text(text)
    return folder


def number(lsn):
    """An LSN as people read it, as a number."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) | int(low, 16)
