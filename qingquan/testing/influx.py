"""A real InfluxDB 1.x for tests, and a shim that gives it the write door of 2.x.

The shim translates ``POST /api/v2/write`` into the server's own ``/write``, buckets into databases, and passes ``/query`` through. So the client's
side of the v2 door runs in earnest (addresses, headers, compression, error handling), but a 2.x server is **not** what
answers. For the tests that can have one, ``INFLUXD2`` names its program (2.7; `tests/tools/build_influxd2.sh` makes one).
"""

import gzip
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from qingquan.testing.ports import free_port

__all__ = [
    "INFLUX2_ORG",
    "INFLUX2_TOKEN",
    "SHIM_TOKEN",
    "Shim",
    "influx2_command",
    "influx2_server",
    "influx_server",
    "influx_settings",
    "influx_shim",
    "influxd2_path",
    "influxd_path",
    "set_up_influx2",
    "wait_for_influx",
]

SHIM_TOKEN = "shim-token"  # noqa: S105 - known to the tests alone
INFLUX2_ORG, INFLUX2_TOKEN = "qingquan", "token-of-the-tests"

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
"""


def influxd_path() -> str | None:
    """The server's program; ``None`` where the Debian package ``influxdb`` is not installed."""
    return shutil.which("influxd")


def influxd2_path() -> str | None:
    """The program of a server of 2.x that the environment names; ``None`` = none."""
    return os.environ.get("INFLUXD2")


def influx2_command(folder: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """How to start the server of 2.x with its data in ``folder``, which is made. Raises RuntimeError where none is named."""
    program = influxd2_path()
    if program is None:
        raise RuntimeError("INFLUXD2 names no influxd of 2.x")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [f"--bolt-path={folder}/meta", f"--sqlite-path={folder}/sqlite", f"--engine-path={folder}/engine"]
    return [program, *paths, f"--http-bind-address={address}:{port}", "--reporting-disabled"]


@contextmanager
def influx2_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a server of 2.x on a free port with its data in ``folder``, set up the first time; yields its URL."""
    port, is_new = port or free_port(), not (folder / "meta").exists()
    command = influx2_command(folder, port)
    with (folder / "influxd.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_influx(port, server)
        if is_new:
            set_up_influx2(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def set_up_influx2(port: int, address: str = "127.0.0.1") -> None:
    """Make the first user, organisation and token of a new server; raises RuntimeError where it refuses."""
    first = {
        "username": "qingquan", "password": "of-the-tests", "org": INFLUX2_ORG, "bucket": "first", "token": INFLUX2_TOKEN,
    }  # fmt: skip
    connection = http.client.HTTPConnection(address, port, timeout=30)
    try:
        connection.request("POST", "/api/v2/setup", json.dumps(first))
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"influxd was not set up: {answer.status} {answer.read().decode()}")
    finally:
        connection.close()


@contextmanager
def influx_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Run ``influxd`` on a free port with its data in ``folder``; yields its URL and stops it at the end."""
    program = influxd_path()
    if program is None:
        raise RuntimeError("influxd is not installed")
    port = port or free_port()
    config = influx_settings(folder, port)
    with (folder / "influxd.log").open("ab") as log:
        server = subprocess.Popen([program, "-config", str(config)], stdout=log, stderr=log)
    try:
        wait_for_influx(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def influx_settings(folder: Path, port: int) -> Path:
    """Write a server's settings into ``folder``, where its data go as well; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "influxdb.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, rpc=free_port()))
    return config


@dataclass(slots=True)
class Shim:
    """A running shim. ``refusals`` are answers (status, headers, body) given instead of writing, first one first;
    a status of 0 cuts the connection, -1 lets one write pass. ``largest_body`` [bytes] answers 413 above it. ``writes``
    counts those passed on. While ``passes`` is cleared writes wait.
    """

    url: str = ""
    refusals: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    largest_body: int = 2**30
    forbids_buckets: bool = False
    writes: int = 0
    passes: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.passes.set()


@contextmanager
def influx_shim(server_url: str, address: str = "127.0.0.1") -> Iterator[Shim]:
    """Serve the v2 write door in front of a 1.x server."""
    shim = Shim()
    httpd = ThreadingHTTPServer((address, 0), _handler(shim, server_url))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    shim.url = f"http://{address}:{httpd.server_address[1]}"
    try:
        yield shim
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def _handler(shim: Shim, server_url: str) -> type[BaseHTTPRequestHandler]:
    backend = urlsplit(server_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            if self.headers.get("Authorization") != f"Token {SHIM_TOKEN}":
                self._answer(401, {}, b'{"code":"unauthorized","message":"unauthorized access"}')
            elif address.path == "/query":
                self._pass_on("/query", body, {"Content-Type": self.headers.get("Content-Type", "")})
            elif address.path == "/api/v2/write":
                self._write(parse_qs(address.query), body)
            elif address.path == "/api/v2/buckets":
                self._make_bucket(json.loads(body))
            else:
                self._answer(404, {}, b"{}")

        def do_GET(self) -> None:
            """Organisations, and buckets by name; retention as the 1.x server keeps it."""
            address = urlsplit(self.path)
            query = parse_qs(address.query)
            if address.path == "/api/v2/orgs":
                self._answer(200, {}, b'{"orgs":[{"id":"0000000000000001","name":"org"}]}')
                return
            name = query["name"][0]
            held = [row for row in self._asked("SHOW DATABASES") if row[0] == name]
            rules = [{"type": "expire", "everySeconds": every} for every in self._kept(name)] if held else []
            found = [{"id": name, "name": name, "retentionRules": rules}] if held else []
            self._answer(200, {}, json.dumps({"buckets": found}).encode())

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            name = urlsplit(self.path).path.rsplit("/", 1)[1]
            self._keep(name, body["retentionRules"])
            self._answer(200, {}, b"{}")

        def _make_bucket(self, wanted: dict[str, Any]) -> None:
            if shim.forbids_buckets:
                self._answer(403, {}, b'{"code":"forbidden","message":"insufficient permissions"}')
                return
            self._asked(f'CREATE DATABASE "{wanted["name"]}"')
            self._keep(wanted["name"], wanted["retentionRules"])
            self._answer(201, {}, b"{}")

        def _keep(self, name: str, rules: list[dict[str, Any]]) -> None:
            if not rules:
                return  # as 2.7 does
            every = f"{rules[0]['everySeconds']}s SHARD DURATION 1d" if rules[0]["everySeconds"] else "INF"
            self._asked(f'ALTER RETENTION POLICY "autogen" ON "{name}" DURATION {every}')

        def _kept(self, name: str) -> list[int]:
            [hours] = [row[1].split("h")[0] for row in self._asked(f'SHOW RETENTION POLICIES ON "{name}"')]
            return [int(hours) * 3600] if hours not in ("0", "0s") else []

        def _asked(self, statement: str) -> list[list[Any]]:
            connection = http.client.HTTPConnection(backend, timeout=30)
            try:
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", "/query", urlencode({"q": statement}), form)
                [result] = json.loads(connection.getresponse().read())["results"]
            finally:
                connection.close()
            return [row for series in result.get("series", []) for row in series.get("values", [])]

        def _write(self, query: dict[str, list[str]], body: bytes) -> None:
            shim.passes.wait(30)
            status, headers, text = shim.refusals.pop(0) if shim.refusals else (-1, {}, "")
            if status != -1:
                if status:
                    self._answer(status, headers, text.encode())
                self.close_connection = True
                return
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if len(body) > shim.largest_body:
                self._answer(413, {}, b'{"code":"request too large"}')
                return
            shim.writes += 1
            target = urlencode({"db": query["bucket"][0], "precision": query["precision"][0]})
            self._pass_on(f"/write?{target}", body, {})

        def _pass_on(self, target: str, body: bytes, headers: dict[str, str]) -> None:
            connection = http.client.HTTPConnection(backend, timeout=30)
            try:
                connection.request("POST", target, body, headers)
                answer = connection.getresponse()
                self._answer(answer.status, {}, answer.read())
            finally:
                connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def wait_for_influx(
    port: int, server: "subprocess.Popen[bytes] | None" = None, timeout_s: float = 30, address: str = "127.0.0.1"
) -> None:
    """Until the server at a port of this machine answers."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server is not None and server.poll() is not None:
            raise RuntimeError(f"influxd ended with status {server.returncode}")
        connection = http.client.HTTPConnection(address, port, timeout=1)
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().status == 204:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RuntimeError("influxd did not get ready")
