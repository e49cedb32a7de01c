"""kill -9 of real alerters while ladders are climbed, again and again: no rung twice, none skipped, each with its messages."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, select

from alerts.apply import apply_findings
from alerts.policy import Subject, default_policy
from qingquan.clock import Clock
from qingquan.domain.findings import Severity
from qingquan.store.sql import duty
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.register import save_works
from qingquan.store.sql.routing_schema import incident_rung
from qingquan.store.sql.schema import outbox
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.duty import county_people

ROOT = Path(__file__).parents[2]
WORKS, KILLS, SPEED, WAIT_S = 120, 4, 7200.0, 60.0
# Only the ladders: what relays messages is killed elsewhere.
PROGRAM = """
import os, time
from qingquan.config import load_config
from qingquan.services.escalating import Escalator
from qingquan.store.sql.engine import open_database
config = load_config(environ=os.environ)
escalator = Escalator(config, open_database(config.sql_url))
print("ready", flush=True)
while True:
    escalator.step()
    time.sleep(0.01)
"""


def ladders(folder: Path, clock: Clock) -> subprocess.Popen[str]:
    """A process that climbs, on a clock by which two hours pass in a second."""
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "QINGQUAN_DATA_DIR": str(folder),
        "QINGQUAN_DATABASE_URL": f"sqlite:///{folder / 'ladders.db'}", "QINGQUAN_CLOCK_SPEED": repr(clock.speed),
        "QINGQUAN_CLOCK_EPOCH_MS": str(clock.epoch_ms), "QINGQUAN_CLOCK_START_MS": str(clock.start_ms),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def rungs(engine: Engine) -> dict[int, list[tuple[str, int]]]:
    found: dict[int, list[tuple[str, int]]] = {}
    with reading(engine) as connection:
        query = select(incident_rung).order_by(incident_rung.c.incident_id, incident_rung.c.at)
        for row in connection.execute(query):
            found.setdefault(row.incident_id, []).append((row.rung, row.at))
    return found


def test_kills_in_the_middle_of_climbing_lose_no_rung_and_double_none(tmp_path: Path) -> None:
    url = current_sqlite(tmp_path / "ladders.db")
    engine = open_database(url)
    works = [example_works(f"W{n:03d}") for n in range(WORKS)]
    wall = time.time_ns() // 1_000_000
    clock = Clock(SPEED, wall, wall)
    with writing(engine) as connection:
        save_works(connection, works)
        duty.save_persons(connection, county_people())
        found = [example_finding(f"f{w.id}", works=w.id, start=wall, evidence_at=wall) for w in works]
        apply_findings(connection, found, register_of(*works), wall)
    ladder = [rung.name for rung in default_policy().ladders[Subject.WATER, Severity.CRITICAL]][:5]
    chance = random.Random(7)
    for turn in range(KILLS + 1):
        # Two at a time: one may hold what the other wants.
        pair = [ladders(tmp_path, clock), ladders(tmp_path, clock)]
        try:
            for process in pair:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            if turn < KILLS:
                time.sleep(chance.uniform(0.02, 0.9))
                assert min(map(len, rungs(engine).values())) < len(ladder), "killed before the end"
            deadline = time.monotonic() + WAIT_S
            while turn == KILLS and min(map(len, rungs(engine).values())) < len(ladder):
                assert time.monotonic() < deadline, Counter(len(rows) for rows in rungs(engine).values())
                time.sleep(0.2)
        finally:
            for process in pair:
                process.kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                assert process.stdout is not None
                process.stdout.close()
    climbed = rungs(engine)
    with reading(engine) as connection:
        ids = [one.id for one in list_incidents(connection, limit=WORKS).items]
        told = Counter(
            (row.incident_id, row.step) for row in connection.execute(select(outbox.c.incident_id, outbox.c.step))
        )
    assert sorted(climbed) == sorted(ids)
    for number, rows in climbed.items():
        names = [name for name, _ in rows if not name.startswith("repeat_")]
        assert sorted(names) == sorted(ladder), "each rung once; the key of the table would refuse a second"
        at = dict(rows)
        assert [at[name] for name in ladder] == sorted(at[name] for name in ladder), "in their order"
        steps = [told[number, "firing"], *(told[number, name] for name in ladder[1:])]
        assert steps == [3, 2, 1, 1, 1], "and everybody on each rung has one message"
    engine.dispose()
