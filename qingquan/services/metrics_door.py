"""A small HTTP door of the watchdog's own: metrics and health also while database and console are away."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from qingquan.errors import ConfigurationError
from qingquan.services.metrics import CONTENT_TYPE

__all__ = ["MetricsDoor"]


class MetricsDoor:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz`` while entered; port 0 = nothing."""

    def __init__(self, host: str, port: int, metrics: Callable[[], bytes], is_ready: Callable[[], bool]) -> None:
        self._server = None if port == 0 else _listening(host, port, metrics, is_ready)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 = nowhere."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def __enter__(self) -> Self:
        if self._server is not None:
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _listening(host: str, port: int, metrics: Callable[[], bytes], is_ready: Callable[[], bool]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics(), CONTENT_TYPE)
            elif path == "/healthz":
                self._answer(200, b'{"status":"up"}', "application/json")
            elif path == "/readyz":
                ready = is_ready()
                self._answer(
                    200 if ready else 503, b'{"ready":%s}' % (b"true" if ready else b"false"), "application/json"
                )
            else:
                self._answer(404, b"", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: Prometheus asks every few seconds."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ConfigurationError([f"metrics_port = {port}: cannot listen on {host}: {error.strerror}"]) from error
    server.daemon_threads = True
    return server
