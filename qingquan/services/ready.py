"""A service says in a file of the data folder that it serves: an open port says only that somebody does.

The file holds the process id of who said it, so what an earlier run left, or a process that has ended since, counts for nothing.
"""

import os

from qingquan.config import Config

__all__ = ["clear", "is_ready", "say"]


def clear(config: Config, service: str) -> None:
    """Nobody serves yet: before each start."""
    (config.data_path / "run" / f"{service}.ready").unlink(missing_ok=True)


def say(config: Config, service: str) -> None:
    """This process serves from now on. The file is there whole or not at all."""
    folder = config.data_path / "run"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{service}.ready.{os.getpid()}"
    unfinished.write_text(f"{os.getpid()}\n", encoding="ascii")
    unfinished.replace(folder / f"{service}.ready")


def is_ready(config: Config, service: str, pid: int) -> bool:
    """Whether that process has said so."""
    try:
        said = (config.data_path / "run" / f"{service}.ready").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return False
    return said == f"{pid}\n"
