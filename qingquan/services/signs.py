"""Signs of life of our processes in the database, where the watchdog sees those of every machine.

Told from the main loop, written by a thread now and then: a slow database never holds up what the service is there for, and one
that is away is simply not told.
"""

import os
import resource
import socket
import sys
import threading
import time
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from qingquan.config import Config
from qingquan.domain.operations import ServiceSign
from qingquan.errors import QingquanError
from qingquan.packages import DISTRIBUTION
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.operations import save_sign

__all__ = ["SIGN_EVERY_S", "SignWriter", "own_sign", "reads", "tell"]

SIGN_EVERY_S = 10.0

_log = structlog.get_logger(__name__)
_STARTED_MS = time.time_ns() // 1_000_000


class SignWriter:
    """Writes the signs of one service of this process."""

    def __init__(self, url: str, service: str) -> None:
        self._url, self._service = url, service
        self._is_caught_up: bool | None = None
        self._due_s = 0.0
        self._thread: threading.Thread | None = None

    def tell(self, is_caught_up: bool | None) -> None:
        """The main loop came round. That it has caught up once holds until the process ends, and is told at once."""
        news = is_caught_up is not None and (self._is_caught_up is None or (is_caught_up and not self._is_caught_up))
        if news:
            self._is_caught_up = is_caught_up
        now_s = time.monotonic()
        is_writing = self._thread is not None and self._thread.is_alive()
        if is_writing or not (news or now_s >= self._due_s):
            return
        self._due_s = now_s + SIGN_EVERY_S
        self._thread = threading.Thread(target=self._write, name=f"sign-{self._service}", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            return
        engine = open_database(self._url)
        try:
            with writing(engine) as connection:
                save_sign(connection, own_sign(self._service, self._is_caught_up))
        except (QingquanError, SQLAlchemyError) as error:
            _log.debug("sign_not_written", service=self._service, why=str(error).splitlines()[0])
        finally:
            engine.dispose()


_log_read = ""


def reads(log: str) -> None:
    """From now on this process's signs say that it reads this log."""
    global _log_read
    _log_read = log


_writers: dict[tuple[str, str], SignWriter] = {}


def tell(config: Config, service: str, is_caught_up: bool | None = None) -> None:
    """Say that ``service`` of this process is alive."""
    key = config.sql_url, service
    writer = _writers.get(key)
    if writer is None:
        writer = _writers[key] = SignWriter(*key)
    writer.tell(is_caught_up)


def own_sign(service: str, is_caught_up: bool | None = None) -> ServiceSign:
    """This process as it stands now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return ServiceSign(
        service, f"{socket.gethostname()}:{os.getpid()}", _STARTED_MS, time.time_ns() // 1_000_000, _rss_bytes(used.ru_maxrss),
        used.ru_utime + used.ru_stime, is_caught_up, _version(), _log_read,
    )  # fmt: skip


@cache
def _version() -> str:
    try:
        return installed(DISTRIBUTION)
    except PackageNotFoundError:
        return ""


def _rss_bytes(highest: int) -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return highest if sys.platform == "darwin" else highest * 1024
    return pages * resource.getpagesize()
