"""Reading the series store of another process: DuckDB admits one process, so the recorder answers for it.

Both ends of a small HTTP service on a Unix socket. Answers are MessagePack; columns travel as raw little-endian bytes.
"""

import asyncio
import hashlib
import http.client
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
import numpy.typing as npt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import LatestReading, Readings, RecordedCounts, SeriesReader, Trend
from qingquan.store.series.buckets import check_aggregation

__all__ = ["RemoteSeriesStore", "serving_series"]

TIMEOUT_S = 10.0
# The address of a Unix socket holds about 100 bytes, whatever the depth of the data folder.
LONGEST_ADDRESS = 100

_REFUSED, _UNAVAILABLE = 422, 503


class RemoteSeriesStore:
    """The read side of the store that the recorder serves at ``path``. Safe to use from several threads.

    Raises `StoreUnavailable` from every method while nobody answers there, and recovers by itself.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._is_closed = False

    def covered(self, reader: str) -> int:
        """See `SeriesReader.covered`."""
        return int(self._asked("covered", {"reader": reader}))

    def latest(self, county: str, works: str | None = None) -> list[LatestReading]:
        """See `SeriesReader.latest`."""
        place = {"county": county} if works is None else {"county": county, "works": works}
        return [LatestReading(SeriesKey(*key), *rest) for key, *rest in self._asked("latest", place)]

    def range(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """See `SeriesReader.range`."""
        check_aggregation(step_ms, aggregates)
        how = {} if step_ms is None else {"step_ms": str(step_ms), "aggregates": ",".join(aggregates)}
        return _trend(key, self._asked("range", {**key._asdict(), "start": str(start), "end": str(end), **how}))

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """See `SeriesReader.conflicts`."""
        return _trend(key, self._asked("conflicts", {**key._asdict(), "start": str(start), "end": str(end)}))

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """See `SeriesReader.readings`."""
        body = msgspec.msgpack.encode([list(map(tuple, keys)), start, end])
        first, observed_at, value, flag = self._asked("readings", {}, body)
        return Readings(_array(first, "<i8"), _array(observed_at, "<i8"), _array(value, "<f8"), _array(flag, "u1"))

    def counts(self) -> RecordedCounts:
        """See `SeriesReader.counts`."""
        return RecordedCounts(**self._asked("counts", {}))

    def copy_to(self, path: Path) -> None:
        """Have the recorder write a copy of its store to the new file ``path``, which it must be able to reach."""
        self._asked("copy", {"path": str(path)})

    def close(self) -> None:
        """See `SeriesReader.close`."""
        self._is_closed = True

    def _asked(self, what: str, parameters: Mapping[str, str], body: bytes | None = None) -> Any:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: this reader was closed")
        try:
            status, answer = self._answer(f"/series/{what}?{urlencode(parameters)}", body)
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailable(f"recorder at {self._path} does not answer: {error}") from error
        if status == _REFUSED:
            raise ValueError(answer.decode(errors="replace"))
        if status != 200:
            raise StoreUnavailable(f"recorder at {self._path}: {status}: {answer[:200].decode(errors='replace')}")
        try:
            return msgspec.msgpack.decode(answer)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"recorder at {self._path} answered nonsense: {error}") from error

    def _answer(self, target: str, body: bytes | None) -> tuple[int, bytes]:
        """One connection per request: on a Unix socket it costs nothing, and a restarted recorder leaves none dead."""
        with closing(_UnixConnection("recorder", timeout=self._timeout_s)) as connection:
            connection.address = _address(self._path)
            connection.request("GET" if body is None else "POST", target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``address``."""

    address: Path

    def connect(self) -> None:
        """Connect; called by the first request."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.address))


@asynccontextmanager
async def serving_series(store: SeriesReader, path: Path) -> AsyncIterator[None]:
    """Answer for ``store`` at the Unix socket ``path`` while the context lasts. Only this user may connect."""
    server = _QuietServer(
        uvicorn.Config(_app(store), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    )
    address = _address(path)
    with _bound(address) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await task


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process it runs in."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextmanager
def _bound(address: Path) -> Generator[socket.socket, None, None]:
    address.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    address.unlink(missing_ok=True)  # left by a recorder that was killed; the store's own lock says that it is gone
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(str(address))
        finally:
            os.umask(before)
        listener.listen()  # from now on a reader waits rather than being refused
        try:
            yield listener
        finally:
            address.unlink(missing_ok=True)


def _address(path: Path) -> Path:
    """Where the socket really is: a name of its own in the folder for temporary files if ``path`` is too long."""
    whole = path.resolve()
    if len(os.fsencode(whole)) <= LONGEST_ADDRESS:
        return whole
    name = hashlib.blake2b(os.fsencode(whole), digest_size=10).hexdigest()
    return Path(tempfile.gettempdir()) / f"qingquan-{os.getuid()}" / f"{name}.sock"


def _app(store: SeriesReader) -> Starlette:
    answers: dict[str, Callable[[Mapping[str, str]], Any]] = {
        "covered": lambda asked: store.covered(asked["reader"]),
        "latest": lambda asked: [
            (r.key, r.observed_at, r.received_at, r.value, r.flag)
            for r in store.latest(asked["county"], asked.get("works"))
        ],
        "range": lambda asked: _columns(store.range(_key(asked), *_span(asked), *_how(asked))),
        "conflicts": lambda asked: _columns(store.conflicts(_key(asked), *_span(asked))),
        "counts": lambda _: asdict(store.counts()),
        "copy": lambda asked: _copied(store, Path(asked["path"])),
    }

    def endpoint(answer: Callable[[Mapping[str, str]], Any]) -> Callable[[Request], Response]:
        # Not a coroutine: Starlette runs it in a thread, so a long query holds nobody up.
        def answered(request: Request) -> Response:
            try:
                return Response(msgspec.msgpack.encode(answer(request.query_params)), media_type="application/msgpack")
            except (KeyError, ValueError) as error:
                return Response(str(error), _REFUSED)
            except StoreUnavailable as error:
                return Response(str(error), _UNAVAILABLE)

        return answered

    async def readings(request: Request) -> Response:
        """Keys stand in the body: a county's are too many for an address."""
        try:
            keys, start, end = msgspec.msgpack.decode(
                await request.body(), type=tuple[list[tuple[str, str, str, str]], int, int]
            )
            found = await asyncio.to_thread(store.readings, [SeriesKey(*key) for key in keys], start, end)
        except (msgspec.MsgspecError, ValueError) as error:
            return Response(str(error), _REFUSED)
        except StoreUnavailable as error:
            return Response(str(error), _UNAVAILABLE)
        parts = ((found.first, "<i8"), (found.observed_at, "<i8"), (found.value, "<f8"), (found.flag, "u1"))
        body = msgspec.msgpack.encode([column.astype(kind).tobytes() for column, kind in parts])
        return Response(body, media_type="application/msgpack")

    routes = [Route(f"/series/{name}", endpoint(answer)) for name, answer in answers.items()]
    return Starlette(routes=[*routes, Route("/series/readings", readings, methods=["POST"])])


def _copied(store: SeriesReader, path: Path) -> bool:
    copy = getattr(store, "copy_to", None)
    if copy is None:
        raise ValueError("this store cannot be copied")
    copy(path)
    return True


def _key(asked: Mapping[str, str]) -> SeriesKey:
    return SeriesKey(*(asked[name] for name in SeriesKey._fields))


def _span(asked: Mapping[str, str]) -> tuple[int, int]:
    return int(asked["start"]), int(asked["end"])


def _how(asked: Mapping[str, str]) -> tuple[()] | tuple[int, list[str]]:
    return (int(asked["step_ms"]), asked["aggregates"].split(",")) if "step_ms" in asked else ()


def _columns(trend: Trend) -> list[Any]:
    columns = {name: column.astype("<f8").tobytes() for name, column in trend.columns.items()}
    return [trend.observed_at.astype("<i8").tobytes(), columns]


def _trend(key: SeriesKey, answer: Any) -> Trend:
    observed_at, columns = answer
    return Trend(key, _array(observed_at, "<i8"), {name: _array(column, "<f8") for name, column in columns.items()})


def _array(raw: bytes, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(raw, kind).astype(np.dtype(kind).newbyteorder("="))
