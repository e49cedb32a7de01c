"""Real servers for tests, on free ports, below a folder of the test's own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.store.reading_log import EmbeddedServer, ensure_streams, resolve_log_config, self_test

__all__ = ["log_settings", "running_reading_log", "started_server"]


def log_settings(folder: Path, **settings: Any) -> Config:
    """Settings for an embedded server on free ports with a small log; ``settings`` override fields of `Config`."""
    small = Config(data_dir=str(folder / "data"), log_port=0, mqtt_port=0, log_max_bytes=256 * 2**20)
    return replace(small, **settings)


@contextmanager
def started_server(config: Config) -> Iterator[EmbeddedServer]:
    """The embedded server of ``config``, with its streams, ended afterwards."""
    server = EmbeddedServer(config)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_reading_log(folder: Path, **settings: Any) -> Iterator[Config]:
    """A reading log that takes messages: server, streams, passed self-test. Yields the resolved settings.

    The self-test leaves one message of county 000000 as sequence 1. Not for use inside a running event loop.
    """
    config = log_settings(folder, **settings)
    with started_server(config):
        resolved = resolve_log_config(config)
        asyncio.run(_prepare(resolved))
        yield resolved


async def _prepare(config: Config) -> None:
    await ensure_streams(config)
    await self_test(config)
