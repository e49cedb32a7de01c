"""`qingquan restore --drill`: whether a backup would really bring the system back, tried in a folder that is removed afterwards.

The running system is not touched: other folder, other ports. After the restore, which compares all figures, the log is read
again and held against the restored store, reading by reading.
"""

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from qingquan.config import Config
from qingquan.services.backup import Backup, Say, restore
from qingquan.services.store_verify import Verified, verify
from qingquan.store.reading_log import EmbeddedServer, resolve_log_config
from qingquan.store.series.opening import open_series_store

__all__ = ["Drill", "drill"]


@dataclass(frozen=True, slots=True)
class Drill:
    """What was restored, what a comparison of its log and store found, and how long it took [s]."""

    restored: Backup
    verified: Verified
    took_s: float


def drill(source: Path, config: Config, say: Say = lambda _: None) -> Drill:
    """Restore a backup into a temporary folder and compare. Raises as `restore` does; needs as much room as the backup."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qingquan-drill-") as folder:
        apart = replace(config, data_dir=folder, database_url="", log_url="", log_port=0, mqtt_port=0)
        restored = restore(source, apart, say)
        say("日志与时序库逐条核对 log and store, reading by reading")
        server = EmbeddedServer(apart)
        server.start()
        try:
            with closing(open_series_store(apart)) as store:
                verified = verify(resolve_log_config(apart), say, store)
        finally:
            server.stop()
    return Drill(restored, verified, time.monotonic() - began)
