"""Recorded data goes over real MQTT into the reading log, and every value comes out as it stands in the file."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ingest.decode import Decoded, Decoder, PointDirectory
from ingest.mapping import Mapping, parse_mapping, works_of
from ingest.recorded import read_rows
from qingquan.config import Config
from qingquan.domain.readings import LogMessage, SeriesCatalog, SeriesKey
from qingquan.errors import BrokerLost, ConfigurationError, WrongUse
from qingquan.services.replay import ReplayCounts, counts_line, replay_file
from qingquan.standards.loader import load_standards
from qingquan.store.reading_log import ReadingLog, resolve_log_config
from qingquan.testing.servers import log_settings, running_reading_log, started_server

MAPPING = parse_mapping(
    """
time = "Time"
tz = "+08:00"
county = "520425"
works = "W0077"
point = "outlet"
disinfectant = "free_chlorine"
[columns]
Cl = { parameter = "free_chlorine", unit = "mg/L" }
T = { parameter = "temperature", unit = "degF" }
Flow = { parameter = "flow", unit = "L/s", point = "source" }
""",
    "m.toml",
)
Cells = dict[tuple[str, str, int], float]


def _file(folder: Path, rows: int, seed: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    lines = ["Time,Cl,T,Flow"]
    for n in range(rows):
        cells = [f"{v:.3f}" if rng.random() > 0.1 else "" for v in (rng.random(), 50 + rng.random(), rng.random())]
        lines.append(f"2026-05-01 {8 + n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d},{','.join(cells)}")
    path = folder / "recorded.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _in_file(path: Path, mapping: Mapping) -> Cells:
    cells: Cells = {}
    for chunk in read_rows(path, mapping):
        for at, row in zip(chunk.observed_at.tolist(), chunk.values.tolist(), strict=True):
            for column, value in zip(mapping.columns, row, strict=True):
                cells[column.point, column.parameter.code, at] = value
    return cells


def _in_log(config: Config, mapping: Mapping) -> tuple[Cells, Decoded]:
    async def fetch() -> list[LogMessage]:
        async with await ReadingLog.connect(config, name="test") as log:
            reader = log.reader(1)
            messages: list[LogMessage] = []
            last = await log.last_sequence()
            while not messages or messages[-1].sequence < last:
                messages += await reader.fetch(5000, 5.0)
            return messages

    catalog = SeriesCatalog()
    decoder = Decoder(
        PointDirectory([works_of(mapping)]), catalog, load_standards().parameters, earliest_ms=0, future_tolerance_ms=10**13
    )  # fmt: skip
    decoded = decoder.decode(asyncio.run(fetch()))
    cells: Cells = {}
    for series, at, value in zip(decoded.batch.series, decoded.batch.observed_at, decoded.batch.value, strict=True):
        key: SeriesKey = catalog.key(int(series))
        cells[key.point, key.parameter, int(at)] = float(value)
    return cells, decoded


def _same(a: Cells, b: Cells) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


def test_every_value_of_the_file_is_in_the_log_bit_for_bit(tmp_path: Path) -> None:
    path = _file(tmp_path, 2000)
    with path.open("a") as file:
        file.write("not a time,1,1,1\n2026-05-01 12:00:00,x,,\n2026-05-01 12:00:01,,,\n")
    with running_reading_log(tmp_path) as config:
        counts = replay_file(path, MAPPING, config, "max")
        logged, decoded = _in_log(config, MAPPING)
    expected = _in_file(path, MAPPING)
    refused = ("outlet", "free_chlorine", 1777608000000)
    assert refused in expected
    assert np.isnan(expected.pop(refused))
    assert _same(logged, expected)
    assert decoded.quarantined == []
    assert counts == ReplayCounts(
        rows=2003, messages=4004, acknowledged=4004, values=sum(not np.isnan(v) for v in expected.values()),
        missing=sum(bool(np.isnan(v)) for v in expected.values()), refused_rows=1, refused_cells=1,
    )  # fmt: skip
    assert counts.values + counts.missing + counts.refused_cells == (counts.rows - counts.refused_rows) * 3
    assert "2003" in counts_line(counts)
    assert "4004 acknowledged" in counts_line(counts, "en")


def test_a_broker_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    path = _file(tmp_path, 6000)
    settings = log_settings(tmp_path)
    results: list[ReplayCounts] = []
    with started_server(settings) as server:
        config = resolve_log_config(settings)
        thread = threading.Thread(target=lambda: results.append(replay_file(path, MAPPING, config, 6000 / 3)))
        thread.start()
        thread.join(1.0)
        server.kill()
        server.start()
        thread.join(60)
        (counts,) = results
        logged, _ = _in_log(config, MAPPING)
    assert counts.is_complete
    assert counts.reconnects >= 1
    assert _same(logged, _in_file(path, MAPPING))


def test_the_recordings_pace_is_kept_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.replay.PROGRESS_S", 0.0)
    path = _file(tmp_path, 600)
    stop = threading.Event()

    def report(counts: ReplayCounts) -> None:
        if counts.messages >= 60:
            stop.set()

    with running_reading_log(tmp_path) as config:
        began = time.monotonic()
        counts = replay_file(path, MAPPING, config, 100, report=report, stop=stop)
    # 100 rows a second, two messages each.
    assert time.monotonic() - began >= 0.29
    assert counts.messages == 60


def test_times_are_moved_on_request(tmp_path: Path) -> None:
    path = _file(tmp_path, 3)
    with running_reading_log(tmp_path) as config:
        replay_file(path, MAPPING, config, "max", shift_ms=86_400_000)
        logged, _ = _in_log(config, MAPPING)
    assert {at for _, _, at in logged} == {at + 86_400_000 for _, _, at in _in_file(path, MAPPING)}


def test_wrong_use_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    path = _file(tmp_path, 3)
    with pytest.raises(WrongUse, match="speed"):
        replay_file(path, MAPPING, Config(mqtt_port=1), 0)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replay_file(path, tmp_path / "none.toml", Config(mqtt_port=1))


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.replay.CONNECT_S", 0.3)
    with pytest.raises(BrokerLost, match=r"127\.0\.0\.1:1"):
        replay_file(_file(tmp_path, 3), MAPPING, Config(mqtt_port=1), "max")
