"""An S3 server whose network can be made bad: moto behind a proxy that refuses, cuts off or forgets to answer a share of the requests.

usage: fault_proxy.py PORT SEED

Listens on 127.0.0.1:PORT and ends when its standard input does. `PUT /_faults` with {"share": 0.2, "kinds": ["slow_down", …], "stall_s": 5} switches
faults; `GET /_faults` tells how many requests came and how many met each kind. What is refused is decided by the seed and the count of requests
alone, among the kinds that a request of this method can meet:

Any request may meet `slow_down` (503, not done), `denied` (403), `cut` (the connection ends, not done), `unanswered` (done, then the connection
ends), `failed_after` (done, then 500), `stalled` (no answer for stall_s, not done) and `stalled_after` (done, then no answer for stall_s). Reads may
meet `torn` (the body ends early), `short` (less than was asked for, with a length to match), `garbled` (some bytes are others), `other_range` (bytes
from another place, under the name of those that were asked for) and `missing` (404). Puts may meet `not_done` (200 and the right ETag, but
nothing was stored).
"""

import collections
import hashlib
import http.client
import http.server
import json
import logging
import random
import re
import sys
import threading
import time

# A bucket can't be called so.
CONTROL = "/_faults"
# Of one hop only; what is sent on has its length told.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection", "expect"}
SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message><RequestId>0</RequestId></Error>"""
DENIED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature does not match the signature you provided. Check your key.</Message>
<AWSAccessKeyId>AKLAKEBOX</AWSAccessKeyId><RequestId>0</RequestId></Error>"""
INTERNAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message><RequestId>0</RequestId></Error>"""
NO_KEY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><RequestId>0</RequestId></Error>"""
XML = {"content-type": "application/xml"}
READS = {"torn", "short", "garbled", "other_range"}


def can_meet(kind, command):
    if kind in READS:
        return command == "GET"
    if kind == "missing":
        return command in ("GET", "HEAD")
    return kind != "not_done" or command == "PUT"


class Faults:
    def __init__(self, seed):
        self.lock = threading.Lock()
        self.dice = random.Random(seed)
        self.share, self.kinds, self.stall_s = 0.0, ["slow_down"], 5.0
        self.counts = collections.Counter()

    def set(self, share, kinds, stall_s=5.0):
        with self.lock:
            self.share, self.kinds, self.stall_s = share, kinds, stall_s

    def place(self, end):
        with self.lock:
            return self.dice.randrange(end)

    def draw(self, command):
        """The fault of the next request, if it meets one."""
        with self.lock:
            self.counts["requests"] += 1
            if self.dice.random() >= self.share:
                return None
            kinds = [kind for kind in self.kinds if can_meet(kind, command)]
            if not kinds:
                return None
            # Of those that came up least often: short runs meet all of them too.
            least = min(self.counts.get(kind, 0) for kind in kinds)
            kind = self.dice.choice([kind for kind in kinds if self.counts.get(kind, 0) == least])
            self.counts[kind] += 1
            return kind

    def seen(self):
        with self.lock:
            return {"share": self.share, "requests": 0, **self.counts}


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Head and body in one go.
    wbufsize = -1
    upstream = faults = None

    def handle_expect_100(self):
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def do_any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == CONTROL:
            if self.command == "PUT":
                self.faults.set(**json.loads(body))
            return self.answer(200, {"content-type": "application/json"}, json.dumps(self.faults.seen()).encode())
        fault = self.faults.draw(self.command)
        if fault == "slow_down":
            return self.answer(503, XML, SLOW_DOWN)
        if fault == "denied":
            return self.answer(403, XML, DENIED)
        if fault == "missing":
            return self.answer(404, XML, NO_KEY)
        if fault == "cut":
            return self.cut()
        if fault == "stalled":
            return self.stall()
        if fault == "not_done":
            return self.answer(200, {"etag": '"%s"' % hashlib.md5(body).hexdigest()}, b"")
        asked = self.headers.get("range")
        if fault == "other_range" and asked:
            del self.headers["range"]
            self.headers["range"] = self.shifted(asked)
        answer, data = self.forward(body)
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in HOP}
        if fault == "unanswered":
            return self.cut()
        if fault == "failed_after":
            return self.answer(500, XML, INTERNAL)
        if fault == "stalled_after":
            return self.stall()
        if fault == "torn" and data:
            return self.answer(answer.status, headers, data[: self.faults.place(len(data))], str(len(data)), True)
        if fault == "short" and data:
            data = data[: self.faults.place(len(data))]
        if fault == "other_range" and asked and answer.status == 206:
            headers = {k: v for k, v in headers.items() if k.lower() != "content-range"}
            start = int(re.match(r"bytes=(\d+)-", asked).group(1))
            size = answer.getheader("content-range").rpartition("/")[2]
            headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{size}"
        elif fault in ("garbled", "other_range") and data:
            data = bytearray(data)
            for _ in range(1 + len(data) // 4096):
                data[self.faults.place(len(data))] ^= 1 + self.faults.place(255)
            data = bytes(data)
        self.answer(answer.status, headers, data, answer.getheader("content-length") if self.command == "HEAD" else None)

    def shifted(self, asked):
        """As many bytes from another place; the same where there is none before."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if not match:
            return asked
        start, end = map(int, match.groups())
        by = 1 + self.faults.place(start) if start else 0
        return f"bytes={start - by}-{end - by}"

    def stall(self):
        time.sleep(self.faults.stall_s)
        self.cut()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def forward(self, body):
        """The request as it came, its signature and host untouched."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def answer(self, status, headers, data, length=None, tears=False):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        # The answer to HEAD tells a length and has no body.
        self.send_header("content-length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        if tears:
            self.cut()

    def cut(self):
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        # A client that went away is what these tests are about.
        pass


def main():
    port, seed = int(sys.argv[1]), int(sys.argv[2])
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").disabled = True
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    Proxy.upstream, Proxy.faults = moto.get_host_and_port()[1], Faults(seed)
    server = Server(("127.0.0.1", port), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Ends with whoever started it, however that ends.
    sys.stdin.read()


if __name__ == "__main__":
    main()
