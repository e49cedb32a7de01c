"""A TCP proxy on loopback whose link can be cut and mended: a network in the hands of a test.

It runs in a thread of its own. Cut, it closes what is open and refuses what comes; `stall` keeps connections open and passes nothing on, as a
dead mobile link does.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from qingquan.testing.ports import free_port

__all__ = ["TcpProxy", "running_proxy"]

CHUNK = 65_536
POLL_S = 0.05


class TcpProxy:
    """Listens on ``port`` and passes everything on to ``target`` (a port on 127.0.0.1) and back, while the link is up."""

    def __init__(self, target: int, port: int | None = None) -> None:
        self.target = target
        self.port = port or free_port()
        self.connections = 0
        self._is_cut = False
        self._stalled = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listener.settimeout(POLL_S)
        self._thread = threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through."""
        return self._is_cut or self._stalled.is_set()

    def cut(self) -> None:
        """Close every connection and take no new one."""
        self._is_cut = True
        self._close_all()

    def stall(self) -> None:
        """Keep connections open and pass nothing on: neither end is told."""
        self._stalled.set()

    def mend(self) -> None:
        """Let through again. Connections that were stalled go on where they stood."""
        self._is_cut = False
        self._stalled.clear()

    def stop(self) -> None:
        """End the proxy; a second call does nothing."""
        self._stopped.set()
        self._stalled.clear()
        self._thread.join()
        self._listener.close()
        self._close_all()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            self.connections += 1
            for one in (near, far):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            if self._is_cut:
                self._close_all()
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                while self._stalled.is_set() and not self._stopped.is_set():
                    time.sleep(POLL_S)
                sink.sendall(data)
        self._close(source, sink)

    def _close_all(self) -> None:
        with self._lock:
            left = list(self._open)
        self._close(*left)

    def _close(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open -= set(ends)
        for one in ends:
            # Closing alone does not wake a thread that waits to receive.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def running_proxy(target: int) -> Iterator[TcpProxy]:
    """A proxy to a port on this machine, ended afterwards."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.stop()
