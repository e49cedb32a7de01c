"""The register as those have read it who share it in one process."""

import threading
from collections.abc import Sequence

from sqlalchemy import Connection

from qingquan.domain.works import Works
from qingquan.store.sql.register import scan_works

__all__ = ["HeldRegister"]


class HeldRegister:
    """All works, without contacts, read once a version. Partitions that are taken over together would each read them for seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: int | None = None
        self._works: Sequence[Works] = ()

    def works(self, connection: Connection, version: int) -> Sequence[Works]:
        """The works of this ``version``, which ``connection`` has just read."""
        with self._lock:
            if self._version != version:
                self._works, self._version = tuple(scan_works(connection, for_judging=True)), version
            return self._works
