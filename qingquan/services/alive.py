"""Sign of life of a service: a file touched in its main loop, and the check a container's health test runs.

A loop that hangs stops touching the file, which a look at the process list would not show.
"""

import os
import sys
import time
from pathlib import Path

from qingquan.config import Config, load_config
from qingquan.services.spare_memory import SpareMemory

__all__ = ["beat", "is_alive", "main", "stand_by"]

# Loops pass at least every few seconds; a pause this long means that one hangs or its database is gone.
SILENT_S = 60.0

_spare = SpareMemory()


def beat(config: Config, service: str, is_caught_up: bool | None = None) -> None:
    """Say that the main loop of ``service`` has come round once more; readers of the log say whether they have caught up."""
    # Not above: a health test runs this module every half minute in every container, and only looks at the file.
    from qingquan.services.signs import tell

    tell(config, service, is_caught_up)
    stand_by(config, service)


def stand_by(config: Config, service: str) -> None:
    """Say so to the health test alone: of work that another process does, the watchdog hears from that one."""
    _spare.give_back()
    path = _path(config, service)
    try:
        path.touch()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def is_alive(config: Config, service: str, within_s: float = SILENT_S) -> bool:
    """Whether the service said so within that time."""
    try:
        return time.time() - _path(config, service).stat().st_mtime <= within_s
    except FileNotFoundError:
        return False


def _path(config: Config, service: str) -> Path:
    return config.data_path / "run" / f"{service}.alive"


def main(arguments: list[str]) -> int:
    """``python -m qingquan.services.alive SERVICE``: exit status 0 alive, 1 not."""
    return 0 if is_alive(load_config(environ=os.environ), arguments[0]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
