"""`qingquan replay`: a recorded file and its mapping, published over MQTT."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ingest.mapping import Mapping, load_mapping
from ingest.recorded import read_rows
from qingquan.config import Config
from simulators.replay import ReplayCounts, replay

__all__ = ["ReplayCounts", "counts_line", "replay_file"]

CHUNK_ROWS = 2_000


def replay_file(
    file: Path | str,
    mapping: Mapping | Path | str,
    config: Config,
    speed: float | Literal["max"] = 1.0,
    *,
    shift_ms: int = 0,
    report: Callable[[ReplayCounts], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplayCounts:
    """Publish the rows of a CSV (or gzipped CSV) to the broker of ``config``; see `simulators.replay.replay`.

    ``config`` must carry the broker's port, user and password (`resolve_log_config` fills in the embedded server's). Raises
    `ConfigurationError` for faults of mapping or file, all at once.
    """
    if not isinstance(mapping, Mapping):
        mapping = load_mapping(mapping)
    rows = read_rows(file, mapping, CHUNK_ROWS)
    return replay(
        rows, mapping.columns, mapping.county, mapping.works, config, speed, shift_ms=shift_ms, report=report, stop=stop
    )


def counts_line(counts: ReplayCounts, language: str = "zh") -> str:
    """One line for people."""
    c = counts
    if language == "en":
        return (
            f"{c.rows} rows ({c.refused_rows} refused) | {c.messages} messages, {c.acknowledged} acknowledged | "
            f"{c.values} values, {c.missing} missing, {c.refused_cells} refused | {c.reconnects} reconnects"
        )
    return (
        f"{c.rows} 行（拒收 {c.refused_rows} 行） | 报文 {c.messages} 条，已确认 {c.acknowledged} 条 | "
        f"数值 {c.values} 个，缺测 {c.missing} 个，拒收 {c.refused_cells} 个 | 重连 {c.reconnects} 次"
    )
