"""Devices on MQTT: some connections, each with a buffer, a bounded window of unacknowledged messages, and patience.

A message leaves the buffer when it is handed to its connection and counts as acknowledged when the broker's PUBACK is in.
A lost connection is taken up again with growing pauses; what was not acknowledged is sent again, as a device would.
Everything runs in the caller's thread, inside `Devices.pump`.
"""

import os
import selectors
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from qingquan.config import Config
from qingquan.errors import BrokerLost
from simulators.lean_mqtt import LeanConnection

__all__ = ["DEFAULT_WINDOW", "Devices"]

DEFAULT_WINDOW = 200
KEEPALIVE_S = 60
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 5.0
PATIENCE_S = 1.5 * KEEPALIVE_S
ANSWER_S = 10.0  # a broker that accepts the connection but says nothing for so long is given up


class Devices:
    """So many connections to the broker of ``config``, clean sessions, QoS 1; lean ones for measuring throughput.

    ``brokers``: the nodes of a cluster instead, for lean connections; one that leaves everything unanswered for ``patience_s`` is left
    for the next.

    ``published`` counts messages handed to a connection, ``acknowledged`` those the broker answered for, ``waiting`` those
    still in the buffers, ``reconnects`` lost connections taken up again.
    """

    def __init__(
        self, config: Config, connections: int, *, window: int = DEFAULT_WINDOW, is_lean: bool = False,
        brokers: Sequence[tuple[str, int]] = (), patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        if not 1 <= window <= 60_000:
            raise ValueError(f"window = {window}: allowed: 1 to 60000")
        self._selector = selectors.DefaultSelector()
        self._connections: list[_Connection] | list[LeanConnection]
        if is_lean or brokers:
            self._connections = [
                LeanConnection(config, k, window, self._selector, brokers, patience_s) for k in range(connections)
            ]
        else:
            self._connections = [_Connection(config, k, window, self._selector) for k in range(connections)]
        self._tidied = 0.0
        self.waiting = 0

    @property
    def published(self) -> int:
        """Messages handed to a connection so far."""
        return sum(c.published for c in self._connections)

    @property
    def acknowledged(self) -> int:
        """Messages the broker answered for so far."""
        return sum(c.acknowledged for c in self._connections)

    @property
    def reconnects(self) -> int:
        """Lost connections taken up again so far."""
        return sum(c.reconnects for c in self._connections)

    @property
    def connected(self) -> int:
        """Connections that stand now."""
        return sum(c.is_up for c in self._connections)

    def connect(self, timeout_s: float) -> None:
        """Bring all connections up.

        Raises
        ------
        BrokerLost
            If the broker refuses the user, or not all connections stand in time; says which.
        """
        deadline = time.monotonic() + timeout_s
        while self.connected < len(self._connections):
            refused = next((c.refused for c in self._connections if c.refused), "")
            if refused or time.monotonic() > deadline:
                at = self._connections[0].address
                reason = refused or next((c.trouble for c in self._connections if c.trouble), "no answer")
                raise BrokerLost(f"MQTT broker at {at}: {reason}")
            self.pump(0.05)

    def put(self, connection: int, topic: str, payload: bytes) -> None:
        """Give a message to the buffer of a connection."""
        self._connections[connection].buffer.append((topic, payload))
        self.waiting += 1

    def pump(self, timeout_s: float) -> None:
        """Send what the windows allow and take in acknowledgements, for at most ``timeout_s``."""
        self._send()
        for key, events in self._selector.select(timeout_s):
            key.data.serve(events)
        if time.monotonic() - self._tidied > 0.1:
            self._tidied = time.monotonic()
            for connection in self._connections:
                connection.tidy(self._tidied)
        self._send()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False if that takes longer than ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while self.waiting or self.published > self.acknowledged:
            if time.monotonic() > deadline:
                return False
            self.pump(0.05)
        return True

    def close(self) -> None:
        """Say goodbye on every connection that stands."""
        for connection in self._connections:
            connection.close()
        self._selector.close()

    def _send(self) -> None:
        if self.waiting:
            self.waiting -= sum(c.send() for c in self._connections if c.buffer)


class _Connection:
    """One MQTT session driven by hand: paho keeps the protocol, this keeps buffer, window and patience."""

    def __init__(self, config: Config, number: int, window: int, selector: selectors.BaseSelector) -> None:
        host = "127.0.0.1" if config.mqtt_host in ("", "0.0.0.0") else config.mqtt_host  # noqa: S104 - compared
        self._host, self._port, self._window, self._selector = host, config.mqtt_port, window, selector
        self.address = f"{host}:{config.mqtt_port}"
        self.buffer: deque[tuple[str, bytes]] = deque()
        self.published = self.acknowledged = self.reconnects = 0
        self.is_up = False
        self.refused = self.trouble = ""
        self._was_up = False
        self._retry_at = self._asked_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        # The process id keeps two simulators at one broker from throwing each other out.
        name = f"qq-sim-{os.getpid()}-{number}"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=True)
        if config.mqtt_user:
            self._client.username_pw_set(config.mqtt_user, config.mqtt_password)
        self._client.max_inflight_messages_set(0)  # the window is kept here
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_socket_open = self._on_socket_open
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_register_write
        self._client.on_socket_unregister_write = self._on_unregister_write

    def send(self) -> int:
        """Move messages from the buffer into the window. Returns how many."""
        if not self.is_up:
            return 0
        room = min(self._window - (self.published - self.acknowledged), len(self.buffer))
        for _ in range(room):
            topic, payload = self.buffer.popleft()
            self._client.publish(topic, payload, qos=1)
        sent = max(room, 0)
        self.published += sent
        if sent:
            self._client.loop_write()
        return sent

    def serve(self, events: int) -> None:
        """The socket can be read or written."""
        if events & selectors.EVENT_READ:
            self._client.loop_read()
        if events & selectors.EVENT_WRITE and self._client.socket() is not None:
            self._client.loop_write()

    def tidy(self, now: float) -> None:
        """Keep alive, or try again once the pause is over."""
        if self._client.socket() is not None:
            self._client.loop_misc()
            if not self.is_up and now - self._asked_at > ANSWER_S:
                self.trouble = f"no answer within {ANSWER_S:g} s"
                self._client.disconnect()
        elif now >= self._retry_at:
            self._try(now)

    def close(self) -> None:
        """End the session; what was not acknowledged is given up."""
        self._was_up = False
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()

    def _try(self, now: float) -> None:
        self._asked_at = now
        self._retry_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
        try:
            self._client.connect(self._host, self._port, KEEPALIVE_S)
        except OSError as error:
            self.trouble = f"{error.strerror or error}"

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self.refused = f"connection refused: {code}"
            return
        self.reconnects += self._was_up
        self.is_up = self._was_up = True
        self.trouble = ""
        self._pause_s = FIRST_PAUSE_S

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self.is_up = False
        self.trouble = self.trouble or f"connection lost: {code}"

    def _on_publish(self, _client: Client, _data: Any, _mid: int, _code: ReasonCode, _properties: Properties) -> None:
        self.acknowledged += 1

    def _on_socket_open(self, _client: Client, _data: Any, sock: Any) -> None:
        self._selector.register(sock, selectors.EVENT_READ, self)

    def _on_socket_close(self, _client: Client, _data: Any, sock: Any) -> None:
        self._selector.unregister(sock)

    def _on_register_write(self, _client: Client, _data: Any, sock: Any) -> None:
        self._selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def _on_unregister_write(self, _client: Client, _data: Any, sock: Any) -> None:
        self._selector.modify(sock, selectors.EVENT_READ, self)
