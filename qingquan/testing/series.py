"""Rows for the series stores, written short, and a store read through the recorder's socket."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import AppendResult, Retention, SeriesRows, SeriesStore
from qingquan.store.series.remote import RemoteSeriesStore, serving_series

__all__ = ["Row", "SeriesServer", "ServedStore", "rows_of"]

DELIVERY_MS = 1500


class Row(NamedTuple):
    """One reading. It was received 1.5 s after it was observed."""

    key: SeriesKey
    observed_at: int
    value: float
    flag: int


def rows_of(rows: Sequence[Row], sequences: Sequence[int] | None = None) -> SeriesRows:
    """Columns of these rows. They came with the log messages ``sequences``; else each is a message of its own, from
    1 on."""
    keys = list(dict.fromkeys(row.key for row in rows))
    number = {key: n for n, key in enumerate(keys)}
    observed_at = np.array([row.observed_at for row in rows], np.int64)
    return SeriesRows(
        keys,
        np.array([number[row.key] for row in rows], np.int32),
        observed_at,
        observed_at + DELIVERY_MS,
        np.array([row.value for row in rows], np.float64),
        np.array([row.flag for row in rows], np.uint8),
        np.array(range(1, len(rows) + 1) if sequences is None else sequences, np.int64),
    )


class SeriesServer:
    """Serves a store at a Unix socket from a thread with an event loop of its own, until stopped."""

    def __init__(self, store: SeriesStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the series server did not start")

    def stop(self) -> None:
        """Stop serving; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            async with serving_series(self._store, self._path):
                self._ready.set()
                await self._stop.wait()

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve())


class ServedStore(RemoteSeriesStore):
    """Written directly, read through the socket: so the contract suite runs over the remote read side."""

    def __init__(self, store: SeriesStore, path: Path) -> None:
        super().__init__(path)
        self._store = store
        self._server = SeriesServer(store, path)

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """See `SeriesStore.append`."""
        return self._store.append(rows, reader, covered, messages)

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """See `SeriesStore.maintain`."""
        self._store.maintain(now_ms, retention)

    def rewind(self, reader: str, covered: int) -> None:
        """See `SeriesStore.rewind`."""
        self._store.rewind(reader, covered)

    def close(self) -> None:
        """See `SeriesStore.close`."""
        super().close()
        self._server.stop()
        self._store.close()
