"""An S3 server whose network can be made bad: moto behind a proxy that refuses, cuts off or forgets to answer a share of the requests.

usage: fault_proxy.py PORT SEED

Listens on 127.0.0.1:PORT and ends when its standard input does. `PUT /_faults` with
{"share": 0.2, "kinds": ["slow_down", "denied", "cut", "unanswered"]} switches faults; `GET /_faults` tells how many requests came and how many met each
kind. What is refused is decided by the seed and the count of requests alone.
"""

import collections
import http.client
import http.server
import json
import logging
import random
import sys
import threading

# A bucket can't be called so.
CONTROL = "/_faults"
# Of one hop only; what is sent on has its length told.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection", "expect"}
SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message><RequestId>0</RequestId></Error>"""
DENIED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature does not match the signature you provided. Check your key.</Message>
<AWSAccessKeyId>AKLAKEBOX</AWSAccessKeyId><RequestId>0</RequestId></Error>"""


class Faults:
    def __init__(self, seed):
        self.lock = threading.Lock()
        self.dice = random.Random(seed)
        self.share, self.kinds = 0.0, ["slow_down"]
        self.counts = collections.Counter()

    def set(self, share, kinds):
        with self.lock:
            self.share, self.kinds = share, kinds

    def draw(self):
        """The fault of the next request, if it meets one."""
        with self.lock:
            self.counts["requests"] += 1
            if self.dice.random() >= self.share:
                return None
            kind = self.dice.choice(self.kinds)
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
        fault = self.faults.draw()
        if fault == "slow_down":
            return self.answer(503, {"content-type": "application/xml"}, SLOW_DOWN)
        if fault == "denied":
            return self.answer(403, {"content-type": "application/xml"}, DENIED)
        if fault == "cut":
            return self.cut()
        answer, data = self.forward(body)
        if fault == "unanswered":
            return self.cut()
        self.answer(answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in HOP}, data, answer.getheader("content-length"))

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

    def answer(self, status, headers, data, length=None):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        # The answer to HEAD tells a length and has no body.
        self.send_header("content-length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

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
