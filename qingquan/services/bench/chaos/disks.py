"""Small disks that are filled up: tmpfs where mounting is allowed, else a limit on the size of files."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from qingquan.services.bench.chaos.network import MARK

__all__ = ["BALLAST", "SmallDisk", "can_mount"]

BALLAST = "ballast"
BLOCK = b"\0" * (1 << 16)


def can_mount() -> bool:
    """Whether this process has mounts to itself."""
    return bool(os.environ.get(MARK))


class SmallDisk:
    """A folder with ``size_mb`` of its own."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "qingquan-chaos", str(folder)], check=True)

    def fill(self) -> None:
        """Leave no room."""
        with suppress(OSError), (self.folder / BALLAST).open("wb", buffering=0) as file:
            free = os.statvfs(self.folder)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
            # What the others have given back or taken meanwhile.
            file.seek(0, os.SEEK_END)
            while True:
                file.write(BLOCK)

    def clear(self) -> None:
        """Give the room back."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount; what it held is gone."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)
