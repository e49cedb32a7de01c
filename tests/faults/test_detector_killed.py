"""The detector against a real log: killed at any moment it finds what it would have found, and it says what it missed."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qingquan.config import Config
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity
from qingquan.domain.readings import Topic
from qingquan.domain.state import WorksState
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.progress import DETECTOR_PARTITION, applied_sequence, counts
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import save_works_states
from qingquan.testing.servers import running_reading_log

T0 = 1_777_600_800_000
RUN = """
from qingquan.config import load_config
from qingquan.services import detector
detector.COMMIT_EVERY_S = 0.2
raise SystemExit(detector.run(load_config()))
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with running_reading_log(tmp_path) as settings:
        register(settings)
        yield settings


def register(settings: Config) -> None:
    point = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity", "ph"))
    works = Works("520425", "W0001", "一水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000, (point,))
    upgrade(settings.sql_url)
    engine = open_database(settings.sql_url)
    with writing(engine) as connection:
        save_works(connection, [works])
        save_works_states(connection, [WorksState("520425", "W0001", DisinfectionState.OK, T0, T0, stale=False)])
    engine.dispose()


def start(config: Config) -> "subprocess.Popen[bytes]":
    names = ("data_dir", "log_url", "log_user", "log_password", "log_port")
    settings = {f"QINGQUAN_{name.upper()}": str(getattr(config, name)) for name in names}
    return subprocess.Popen([sys.executable, "-c", RUN], env={**os.environ, **settings})


def publish(config: Config, rows: np.ndarray, first: int) -> int:
    """A message with ten minutes each; the last sequence."""

    async def run() -> int:
        last = 0
        async with await ReadingLog.connect(config, name="test") as log:
            for k in range(0, len(rows), 10):
                payload = [
                    {"t": T0 + (first + k + n) * 60_000, "v": {"free_chlorine": r[0], "turbidity": r[1], "ph": r[2]}}
                    for n, r in enumerate(rows[k : k + 10].tolist())
                ]
                last = await log.publish(Topic("520425", "W0001", "outlet", "json"), json.dumps(payload).encode())
        return last

    return asyncio.run(run())


def wait_for(config: Config, covered: int) -> list[Finding]:
    engine = open_database(config.sql_url)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with reading(engine) as connection:
                if applied_sequence(connection, DETECTOR_PARTITION) >= covered:
                    return list(list_findings(connection, kinds=[FindingKind.WATER_EVENT]).items)
            time.sleep(0.05)
    finally:
        engine.dispose()
    raise AssertionError(f"not covered up to {covered} within 30 s")


def test_a_detector_killed_in_the_middle_of_an_event_goes_on_with_it(config: Config) -> None:
    rng = np.random.default_rng(3)
    rows = quiet(rng, 600)
    rows[400:425] += (0.3, 1.5, 0.8)
    process = start(config)
    try:
        (lasting,) = wait_for(config, publish(config, rows[:410], 0))
        process.kill()
        process.wait()
        last = publish(config, rows[410:], 410)
        process = start(config)
        (ended,) = wait_for(config, last)
    finally:
        process.kill()
        process.wait()
    assert lasting.end is None and ended.id == lasting.id  # noqa: PT018
    assert ended.end is not None and abs(ended.end - (T0 + 424 * 60_000)) <= 3 * 60_000  # noqa: PT018
    assert abs(ended.start - (T0 + 400 * 60_000)) <= 2 * 60_000
    # Readings of long ago: recorded, never as if it were now.
    assert ended.late and ended.severity is Severity.INFO  # noqa: PT018
    assert set(str(ended.evidence["contributors"]).split(";")) <= {"free_chlorine", "turbidity", "ph"}


def test_a_detector_killed_at_random_moments_finds_what_an_undisturbed_one_finds(config: Config) -> None:
    rng = np.random.default_rng(8)
    rows = quiet(rng, 4_000)
    for first in range(300, 4_000, 220):
        rows[first : first + int(rng.integers(5, 40))] += (0.3, 1.5, 0.8)
    last = 0
    for first in range(0, 4_000, 1_000):
        process = start(config)
        try:
            last = publish(config, rows[first : first + 1_000], first)
            time.sleep(float(rng.uniform(0.0, 2.5)))
        finally:
            process.kill()
            process.wait()
    disturbed = finished(config, last)
    # Another detector over the same log, with books of its own.
    undisturbed = replace(config, data_dir=str(config.data_path.parent / "undisturbed"))
    register(undisturbed)
    alone = finished(undisturbed, last)
    assert len(alone) > 10
    assert disturbed == alone


def test_a_detector_that_stood_still_for_long_goes_on_where_the_log_begins_and_says_so(config: Config) -> None:
    rows = quiet(np.random.default_rng(4), 400)
    finished(config, publish(config, rows[:100], 0))
    freed = publish(config, rows[100:200], 100)
    last = publish(config, rows[200:], 200)

    async def purge() -> None:
        async with await ReadingLog.connect(config, name="test") as log:
            await log.purge_to(freed)

    asyncio.run(purge())
    assert finished(config, last) == []
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        assert counts(connection)["detector.skipped"] == 10
    engine.dispose()


def quiet(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows of quiet water."""
    noise = rng.standard_normal((n, 3)) * (0.005, 0.01, 0.01)
    return np.array((0.5, 0.3, 7.2)) + noise


def finished(config: Config, last: int) -> list[Finding]:
    """What a detector finds that reads up to ``last``."""
    process = start(config)
    try:
        return wait_for(config, last)
    finally:
        process.kill()
        process.wait()
