"""TCP proxies that can fall silent, for machines where a network cannot be cut: one thread serves all of them."""

import selectors
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

__all__ = ["Proxies"]

CHUNK = 1 << 16
# What waits for a slow receiver; then the sender is no longer read from.
MOST_WAITING = 1 << 20
LOOK_S = 0.05


@dataclass(slots=True)
class _Way:
    by: str
    place: str
    port: int
    listener: socket.socket


@dataclass(slots=True)
class _End:
    """One side of a connection; ``waiting`` is what is to be written to it."""

    socket: socket.socket
    way: _Way
    other: "_End | None" = None
    waiting: bytearray = field(default_factory=bytearray)


class Proxies:
    """Ways between places. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._ways: dict[tuple[str, str, int], _Way] = {}
        self._open: dict[int, _End] = {}
        self._cut: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proxies", daemon=True)
        self._thread.start()

    def way(self, by: str, place: str, port: int) -> int:
        """Port of the proxy through which ``by`` reaches a port of ``place``."""
        with self._lock:
            key = (by, place, port)
            if key not in self._ways:
                listener = socket.create_server(("127.0.0.1", 0))
                listener.setblocking(False)
                self._ways[key] = _Way(by, place, port, listener)
                self._selector.register(listener, selectors.EVENT_READ, self._ways[key])
            return int(self._ways[key].listener.getsockname()[1])

    def cut(self, place: str) -> None:
        """Hold what is under way to and from a place, take nothing new."""
        with self._lock:
            self._cut.add(place)

    def heal(self, place: str) -> None:
        """End a cut; what was under way is broken off, as routers do."""
        with self._lock:
            self._cut.discard(place)
            for end in [one for one in self._open.values() if place in (one.way.by, one.way.place)]:
                self._close(end)

    def close(self) -> None:
        """End all ways."""
        self._stopping.set()
        self._thread.join()
        with self._lock:
            for end in list(self._open.values()):
                self._close(end)
            for one in self._ways.values():
                one.listener.close()
            self._selector.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            ready = self._selector.select(LOOK_S)
            with self._lock:
                is_held = False
                for key, events in ready:
                    way = key.data.way if isinstance(key.data, _End) else key.data
                    if way.by in self._cut or way.place in self._cut:
                        is_held = True
                    elif isinstance(key.data, _Way):
                        self._accept(key.data)
                    else:
                        self._move(key.data, events)
            if is_held:
                self._stopping.wait(LOOK_S)

    def _accept(self, way: _Way) -> None:
        with suppress(OSError):
            near, _ = way.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", way.port), timeout=1)
            except OSError:
                near.close()
                return
            ends = _End(near, way), _End(far, way)
            ends[0].other, ends[1].other = ends[1], ends[0]
            for end in ends:
                end.socket.setblocking(False)
                end.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open[end.socket.fileno()] = end
                self._selector.register(end.socket, selectors.EVENT_READ, end)

    def _move(self, end: _End, events: int) -> None:
        if end.socket.fileno() not in self._open:
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._write(end)
            if events & selectors.EVENT_READ and end.other is not None:
                if chunk := end.socket.recv(CHUNK):
                    end.other.waiting += chunk
                    self._write(end.other)
                else:
                    self._close(end)
        except BlockingIOError:
            pass
        except OSError:
            self._close(end)

    def _write(self, end: _End) -> None:
        with suppress(BlockingIOError):
            while end.waiting:
                sent = end.socket.send(end.waiting[:CHUNK])
                del end.waiting[:sent]
        self._watch(end)
        if end.other is not None:
            self._watch(end.other)

    def _watch(self, end: _End) -> None:
        assert end.other is not None
        mask = selectors.EVENT_WRITE if end.waiting else 0
        mask |= selectors.EVENT_READ if len(end.other.waiting) < MOST_WAITING else 0
        # Nothing to wait for on either side cannot be: a full buffer waits for the other end to take it.
        self._selector.modify(end.socket, mask or selectors.EVENT_READ, end)

    def _close(self, end: _End) -> None:
        for one in (end, end.other):
            if one is not None and self._open.pop(one.socket.fileno(), None) is not None:
                self._selector.unregister(one.socket)
                one.socket.close()
