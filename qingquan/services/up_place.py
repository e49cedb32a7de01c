"""The folder and the ports of `qingquan up`: whose they are, and which are free."""

import fcntl
import shutil
import socket
from pathlib import Path
from typing import IO

from qingquan.errors import ConfigurationError

__all__ = ["answers", "clear_demo_folder", "free_port_from", "is_busy", "one_up"]

DEMO_MARK = ".qingquan-demo"
LATER_PORTS = 50


def free_port_from(host: str, wanted: int) -> int:
    """The first free port from ``wanted`` on."""
    for port in range(wanted, min(wanted + LATER_PORTS, 65_536)):
        if not is_busy(host, port):
            return port
    raise ConfigurationError(
        [f"web_port = {wanted}: this and the next {LATER_PORTS} ports are taken; choose one with --port"]
    )


def is_busy(host: str, port: int) -> bool:
    """Whether somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise ConfigurationError(
                [f"web_port = {port}: not allowed for this user; choose one above 1023 with --port"]
            ) from error
        except OSError:
            return True
    return False


def answers(host: str, port: int) -> bool:
    """Whether a connection is accepted there."""
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False


def clear_demo_folder(folder: Path) -> None:
    """A demo begins clean; a folder that is not a demo's is never touched."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / DEMO_MARK).exists():
            raise ConfigurationError([f"--data {folder}: holds something else than a demo; name an empty folder"])
        with one_up(folder):
            for entry in folder.iterdir():
                if entry.name in (DEMO_MARK, "up.lock"):
                    continue
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEMO_MARK).touch()


class one_up:  # noqa: N801 (reads as a function)
    """One `up` a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "up.lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigurationError(
                [
                    f"{self._path.parent}: another `qingquan up` runs on this folder; stop it, or choose another with --data"
                ]
            ) from None

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
