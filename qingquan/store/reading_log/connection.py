"""One administration connection to the server: JetStream API requests as JSON, errors as ours."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError, QingquanError
from qingquan.tasks import end_tasks

__all__ = ["ApiRefused", "JetStreamApi", "connect"]

CONNECT_WAIT_S = 15.0
REQUEST_TIMEOUT_S = 5.0
# The library takes whole seconds by its types and any number by its code.
RECONNECT_PAUSE_S: Any = 0.25

# A cluster whose servers have not met or are about to choose who leads: too few of them yet, no peers for a copy, JetStream
# temporarily unavailable, asked of one who does not lead, no room on those there are.
NOT_NOW = (10004, 10005, 10008, 10009, 10023)

_log = structlog.get_logger(__name__)


class ApiRefused(QingquanError):
    """The JetStream API answered with an error; ``code`` is the server's ``err_code``."""

    def __init__(self, subject: str, code: int, description: str) -> None:
        super().__init__(f"{subject}: {description} ({code})")
        self.code = code
        self.description = description


async def connect(
    config: Config, *, name: str, wait_s: float = CONNECT_WAIT_S, refused: list[str] | None = None
) -> Client:
    """A connection that, once made, comes back by itself for ever. ``refused`` collects rights that the server denies it.

    Raises
    ------
    BrokerLost
        If no server answers within ``wait_s``.
    ConfigurationError
        If the server refuses user and password.
    """
    if not config.log_url:
        raise ConfigurationError(["log_url: empty: resolve_log_config() fills it for the embedded server"])
    login: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def on_error(error: Exception) -> None:
        # The library raises a class of its own for some refusals and a bare error with the server's words for others.
        if "authorization violation" in str(error).lower() and not login.done():
            login.set_result(error)
        if refused is not None and "permissions violation" in str(error).lower():
            refused.append(str(error).removeprefix("nats: "))
        _log.debug("log_connection_error", name=name, error=str(error))

    client = _Client()
    attempt = asyncio.ensure_future(
        client.connect(
            servers=config.log_url.split(","),
            name=name,
            user=config.log_user or None,
            password=config.log_password or None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_PAUSE_S,
            connect_timeout=2,
            error_cb=on_error,
        )
    )
    waited_for: set[asyncio.Future[Any]] = {attempt, login}
    try:
        await asyncio.wait(waited_for, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # By itself it would try for ever, and once a server is there keep a connection that is nobody's.
        await end_tasks([attempt])
        await client.close()
        raise
    if attempt.done() and attempt.exception() is None:
        return client
    await end_tasks([attempt])
    await client.close()
    if login.done():
        raise ConfigurationError(
            [
                f"log_user = {config.log_user!r}: the server at {config.log_url} refuses it: check log_user and log_password"
            ]
        )
    raise BrokerLost(f"no NATS server answers at {config.log_url}: start it, or set log_url")


class _Client(Client):
    """The library's, but what it cancels while it closes does not end who closes.

    A connection that is just being made anew waits for its old socket; closing cancels that, and with it the future that says the socket
    is closed, which closing waits for next: it ended as cancelled, and so did the task that closed.
    """

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""
        closing = asyncio.ensure_future(super().close())
        try:
            await asyncio.wait({closing})
        finally:
            # Who closes may be cancelled in earnest.
            closing.cancel()
        if not closing.cancelled():
            closing.result()


class JetStreamApi:
    """Requests to ``$JS.API.…``: JSON in, JSON out. Streams are made with it as no client knows every field."""

    def __init__(self, client: Client, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Answer of ``$JS.API.<subject>``.

        Raises `ApiRefused` for an answer that is an error, `BrokerLost` for none, or where the servers cannot say now.
        """
        if not self._client.is_connected:
            raise BrokerLost("not connected to the reading log")
        payload = b"" if body is None else json.dumps(body).encode()
        try:
            reply = await self._client.request(f"$JS.API.{subject}", payload, timeout=self._timeout_s)
        except nats.errors.NoRespondersError as error:
            raise ApiRefused(subject, 503, "JetStream is not enabled for this account or not ready") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BrokerLost(f"{subject}: no answer from the reading log ({error!r})") from error
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            fault = answer["error"]
            refusal = ApiRefused(
                subject, int(fault.get("err_code", fault.get("code", 0))), fault.get("description", "")
            )
            if refusal.code in NOT_NOW:
                raise BrokerLost(str(refusal))
            raise refusal
        return answer
