"""One connection to an outside MQTT broker, driven by the event loop: no thread of its own that could die unseen.

An acknowledgement belongs to the connection that brought the message: after a reconnect the broker may give the same
packet number to another message, so what was not acknowledged before the connection ended is left to come again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from qingquan.errors import BrokerLost

__all__ = ["BridgeSettings", "Incoming", "Link"]

CONNACK_WAIT_S = 15.0
MISC_EVERY_S = 0.5
READ_AT_ONCE = 64
NEVER_EXPIRES = 0xFFFFFFFF

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Where to fetch from, and how.

    ``client_id`` names the persistent session: it must stay the same, and nobody else may use it. ``window`` bounds the
    messages taken and not yet acknowledged. ``protocol`` is the MQTT version.
    """

    host: str
    port: int = 1883
    user: str = ""
    password: str = ""
    client_id: str = "qingquan-bridge"
    topic_filter: str = "wq/+/+/+/+"
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    window: int = 1000
    keepalive_s: int = 30

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as the broker delivered it. ``topic`` is ``None`` where it is not UTF-8."""

    mid: int
    qos: int
    topic: str | None
    payload: bytes
    is_repeated: bool
    is_retained: bool


class Link:
    """A connection from connect to disconnect. Used once; the next one is a new object.

    ``closed`` is set when the connection is over, ``trouble`` then says why. ``session_kept`` tells whether the broker still
    knew our session when we came. All methods belong to one event loop.
    """

    def __init__(self, settings: BridgeSettings, on_message: Callable[["Link", Incoming], None]) -> None:
        self._settings = settings
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._granted: asyncio.Future[None] = self._loop.create_future()
        self._reading = False
        self._taken = 0
        self._heard_at = self._loop.time()
        self._caring: asyncio.Task[None] | None = None
        self._client = _client(settings)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        self.closed = asyncio.Event()
        self.trouble = ""
        self.session_kept = False

    async def open(self) -> None:
        """Connect and subscribe; messages may come as soon as the broker has answered the connect.

        Raises
        ------
        BrokerLost
            If nobody answers, the broker refuses the connection, or it does not grant QoS 1.
        """
        try:
            # Name look-up and TCP connect block; everything after them does not.
            await asyncio.to_thread(self._connect)
        except (OSError, ValueError) as error:
            raise BrokerLost(f"outside broker {self._settings.address}: {error}") from error
        sock = self._client.socket()
        if sock is None:
            raise BrokerLost(f"outside broker {self._settings.address}: it closed the connection")
        self._client.on_socket_close = self._socket_closes
        self._client.on_socket_register_write = self._socket_has_output
        self._client.on_socket_unregister_write = self._socket_is_empty
        self.resume()
        self._caring = asyncio.create_task(self._care())
        if self._client.want_write():
            self._loop.add_writer(sock, self._write)
        await self._within(self._answered, "no answer to the connect")
        code, _ = self._client.subscribe(self._settings.topic_filter, qos=1)
        if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerLost(f"outside broker {self._settings.address}: cannot subscribe: {code.name}")
        await self._within(self._granted, "no answer to the subscription")

    def acknowledge(self, message: Incoming) -> bool:
        """Tell the broker that the message is ours now; ``False`` if this connection is over."""
        if message.qos == 0 or self.closed.is_set():
            return False
        return self._client.ack(message.mid, message.qos) is MQTTErrorCode.MQTT_ERR_SUCCESS

    def pause(self) -> None:
        """Take nothing more from the socket for now: the broker feels it through TCP."""
        sock = self._client.socket()
        if self._reading and sock is not None:
            self._loop.remove_reader(sock)
        self._reading = False

    def resume(self) -> None:
        """Go on after `pause`."""
        sock = self._client.socket()
        if not self._reading and sock is not None:
            self._loop.add_reader(sock, self._read)
            self._reading = True
            self._heard_at = self._loop.time()

    async def close(self) -> None:
        """Leave; the session at the broker stays. A second call does nothing."""
        if self._caring is not None:
            self._caring.cancel()
            await asyncio.gather(self._caring, return_exceptions=True)
            self._caring = None
        if self._client.socket() is not None:
            self._client.disconnect()
            with contextlib.suppress(OSError):
                self._client.loop_write()
        self._end("closed by us")

    def _connect(self) -> None:
        settings = self._settings
        if settings.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = NEVER_EXPIRES
            properties.ReceiveMaximum = min(settings.window, 65_535)
            self._client.connect(
                settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=properties
            )
        else:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)

    async def _within(self, answer: asyncio.Future[None], trouble: str) -> None:
        closed = asyncio.create_task(self.closed.wait())
        try:
            await asyncio.wait((answer, closed), timeout=CONNACK_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
        if not answer.done():
            raise BrokerLost(f"outside broker {self._settings.address}: {self.trouble or trouble}")
        answer.result()

    def _connected(
        self, _client: Client, _data: Any, flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._settle(self._answered, BrokerLost(f"outside broker {self._settings.address} refuses us: {code}"))
        else:
            self.session_kept = flags.session_present
            self._settle(self._answered)

    def _subscribed(
        self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if codes and all(code.value == 1 for code in codes):
            self._settle(self._granted)
        else:
            shown = ", ".join(str(code) for code in codes)
            self._settle(
                self._granted,
                BrokerLost(
                    f"outside broker {self._settings.address}: subscription to {self._settings.topic_filter!r} at QoS 1 "
                    f"not granted: {shown}"
                ),
            )

    def _disconnected(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self._end(f"connection lost: {code}")

    def _received(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._taken += 1
        # An exception must not get out of here: paho would give the connection up, or its loop would die.
        try:
            try:
                topic: str | None = message.topic
            except UnicodeDecodeError:
                topic = None
            self._on_message(
                self,
                Incoming(
                    message.mid, message.qos, topic, bytes(message.payload), bool(message.dup), bool(message.retain)
                ),
            )
        except Exception:
            _log.exception("bridge_message_failed")

    def _read(self) -> None:
        """What lies ready, a packet a call: a turn of the event loop for each costs more than the packet itself. Bounded, so that
        what is on its way to the log goes on in between."""
        self._heard_at = self._loop.time()
        try:
            for _ in range(READ_AT_ONCE):
                before = self._taken
                self._client.loop_read()
                if self._taken == before or not self._reading:
                    break
        except Exception as error:
            # A packet that paho cannot take apart. Nothing after it can be trusted.
            _log.exception("bridge_packet_failed")
            self._break(f"a packet could not be read: {error}")

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except OSError as error:
            self._break(f"cannot be written to: {error}")

    async def _care(self) -> None:
        """Keep alive, and end a connection from which nothing has come for too long, not even answers to our pings."""
        silent_after_s = 2.5 * self._settings.keepalive_s
        while not self.closed.is_set():
            await asyncio.sleep(MISC_EVERY_S)
            self._client.loop_misc()
            if self._reading and self._loop.time() - self._heard_at > silent_after_s:
                self._break(f"nothing heard for {silent_after_s:.0f} s")

    def _break(self, trouble: str) -> None:
        sock = self._client.socket()
        if sock is not None:
            self._socket_closes(self._client, None, sock)
            sock.close()
        self._end(trouble)

    def _socket_closes(self, _client: Client, _data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._reading = False

    def _socket_has_output(self, _client: Client, _data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, self._write)

    def _socket_is_empty(self, _client: Client, _data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _end(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble
        self.closed.set()

    @staticmethod
    def _settle(future: asyncio.Future[None], error: BrokerLost | None = None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # looked at here, in case nobody waits any more


def _client(settings: BridgeSettings) -> Client:
    is_5 = settings.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if is_5 else False,
        protocol=MQTTv5 if is_5 else MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    if settings.user:
        client.username_pw_set(settings.user, settings.password)
    return client
