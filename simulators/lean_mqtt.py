"""A connection that speaks only what a publishing device needs of MQTT 3.1.1, for measuring throughput.

Takes about a fifth of the processor time of a full client, so that a load generator on the same machine does not measure
itself. Same promises as the full one: QoS 1, bounded window, everything unacknowledged is sent again after a loss.

References: OASIS, "MQTT Version 3.1.1", 2014-10-29: CONNECT 3.1, CONNACK 3.2, PUBLISH 3.3, PUBACK 3.4, PINGREQ 3.12.
"""

import os
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence

from qingquan.config import Config

__all__ = ["LeanConnection", "connect_packet", "publish_packet"]

KEEPALIVE_S = 60
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 5.0
ANSWER_S = 10.0
CHUNK = 1 << 18

_CONNACK, _PUBACK, _PINGRESP = 0x20, 0x40, 0xD0
_DUP = 0x08
_REFUSALS = {
    1: "protocol version",
    2: "client id",
    3: "server unavailable",
    4: "bad user or password",
    5: "not authorised",
}


def connect_packet(client_id: str, user: str, password: str) -> bytes:
    """CONNECT with a clean session."""
    flags = 0x02 | (0xC0 if user else 0)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + struct.pack(">H", KEEPALIVE_S) + _text(client_id)
    if user:
        body += _text(user) + _text(password)
    return b"\x10" + _length(len(body)) + body


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH at QoS 1."""
    name = topic.encode()
    size = 4 + len(name) + len(payload)
    return b"\x32" + _length(size) + struct.pack(">H", len(name)) + name + struct.pack(">H", packet_id) + payload


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _length(size: int) -> bytes:
    """Remaining length, seven bits a byte, clause 2.2.3."""
    if size < 128:
        return bytes((size,))
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (128 if size else 0))
        if not size:
            return bytes(out)


class LeanConnection:
    """One session on a non-blocking socket. Same attributes and methods as the full connection of `devices`.

    ``brokers`` are the nodes of a cluster: each try goes to the next one, connection k begins with the k-th. ``patience_s`` is how long
    a broker may leave everything unanswered before the next one is tried.
    """

    def __init__(
        self, config: Config, number: int, window: int, selector: selectors.BaseSelector,
        brokers: Sequence[tuple[str, int]] = (), patience_s: float = 1.5 * KEEPALIVE_S,
    ) -> None:  # fmt: skip
        host = "127.0.0.1" if config.mqtt_host in ("", "0.0.0.0") else config.mqtt_host  # noqa: S104 - compared
        self._brokers = list(brokers) or [(host, config.mqtt_port)]
        self._turn = number - 1
        self._patience_s = patience_s
        self._hello = connect_packet(f"qq-sim-{os.getpid()}-{number}", config.mqtt_user, config.mqtt_password)
        self._window, self._selector = window, selector
        self.buffer: deque[tuple[str, bytes]] = deque()
        self.published = self.acknowledged = self.reconnects = 0
        self.is_up = False
        self.refused = self.trouble = ""
        self._was_up = False
        self._socket: socket.socket | None = None
        self._unacknowledged: dict[int, bytes] = {}
        self._next_id = 1
        self._out = bytearray()
        self._in = b""
        self._mask = selectors.EVENT_READ
        self._retry_at = self._asked_at = self._heard_at = self._spoke_at = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def address(self) -> str:
        """Where it is, or tries to be."""
        host, port = self._brokers[max(self._turn, 0) % len(self._brokers)]
        return f"{host}:{port}"

    def send(self) -> int:
        """Move messages from the buffer into the window. Returns how many."""
        if self.is_up and not self._unacknowledged:
            # Patience counts from the first message that waits for its answer.
            self._heard_at = time.monotonic()
        room = min(self._window - len(self._unacknowledged), len(self.buffer)) if self.is_up else 0
        for _ in range(room):
            topic, payload = self.buffer.popleft()
            packet = publish_packet(topic, payload, self._next_id)
            self._unacknowledged[self._next_id] = packet
            self._out += packet
            # The window is smaller than the range of ids, acknowledgements come in order: the next one is free.
            self._next_id = self._next_id % 65_535 + 1
        if room > 0:
            self.published += room
            self._write()
        return max(room, 0)

    def serve(self, events: int) -> None:
        """The socket can be read or written."""
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE and self._socket is not None:
            self._write()

    def tidy(self, now: float) -> None:
        """Keep alive, or try again once the pause is over."""
        if self._socket is None:
            if now >= self._retry_at:
                self._try(now)
        elif not self.is_up:
            if now - self._asked_at > min(ANSWER_S, self._patience_s):
                self._lose(f"no answer within {min(ANSWER_S, self._patience_s):g} s")
        elif now - self._heard_at > (self._patience_s if self._unacknowledged else 1.5 * KEEPALIVE_S):
            self._lose("the broker fell silent")
        elif now - self._spoke_at > KEEPALIVE_S / 2:
            self._spoke_at = now
            self._out += b"\xc0\x00"
            self._write()

    def close(self) -> None:
        """End the session; what was not acknowledged is given up."""
        if self._socket is not None:
            self._out += b"\xe0\x00"
            self._write()
        if self._socket is not None:
            self._lose("closed")

    def _try(self, now: float) -> None:
        self._asked_at = now
        self._retry_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
        self._turn += 1
        host, port = self._brokers[self._turn % len(self._brokers)]
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A broker that cannot be reached must not hold up the connections to others.
            self._socket.connect_ex((host, port))
        except OSError as error:
            self.trouble = f"{error.strerror or error}"
            return
        # Once it can be written to the way is open, or refused: then writing says so.
        self._mask = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.register(self._socket, self._mask, self)
        self._in = b""
        self._out = bytearray(self._hello)

    def _write(self) -> None:
        if self._socket is None:
            return
        try:
            while self._out:
                sent = self._socket.send(self._out[:CHUNK])
                del self._out[:sent]
                self._spoke_at = time.monotonic()
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"connection lost: {error.strerror or error}")
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        if mask != self._mask:
            self._mask = mask
            self._selector.modify(self._socket, mask, self)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"connection lost: {error.strerror or error}")
            return
        if not chunk:
            self._lose("connection closed by the broker")
            return
        self._heard_at = time.monotonic()
        self._in += chunk
        self._take_in()

    def _take_in(self) -> None:
        """Everything a broker tells a client that subscribes to nothing is shorter than 128 bytes."""
        data, at = self._in, 0
        while len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1]:
            kind, body = data[at] & 0xF0, data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
            if kind == _PUBACK and len(body) == 2:
                self.acknowledged += self._unacknowledged.pop(body[0] << 8 | body[1], None) is not None
            elif kind == _CONNACK and len(body) == 2:
                self._welcome(body[1])
            elif kind != _PINGRESP:
                self._lose(f"unexpected packet 0x{kind:02x}")
                return
            if self._socket is None:
                return
        self._in = data[at:]

    def _welcome(self, code: int) -> None:
        if code:
            self.refused = f"connection refused: {_REFUSALS.get(code, f'code {code}')}"
            return
        self.reconnects += self._was_up
        self.is_up = self._was_up = True
        self.trouble = ""
        self._pause_s = FIRST_PAUSE_S
        for packet in self._unacknowledged.values():
            self._out += bytes((packet[0] | _DUP,)) + packet[1:]
        self._write()

    def _lose(self, why: str) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
        self._socket = None
        self.is_up = False
        self.trouble = why
        self._out.clear()
        self._in = b""
