"""Rules change while the evaluator runs: sound ones come into force without a restart, faulty ones leave the old in force, loudly."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import Topic
from qingquan.services import evaluator
from qingquan.services.evaluator import Evaluator
from qingquan.services.ruleset_watch import digest_of
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import save_works
from qingquan.store.sql.rulesets import (
    RulesetStatus,
    activate_ruleset,
    active_ruleset,
    list_rulesets,
    ruleset_statuses,
    store_ruleset,
)
from qingquan.testing.databases import database_url  # noqa: F401 (fixture)
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.servers import running_reading_log

DEFAULT = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
MINE = """
[[rule]]
id = "mine"
parameter = "turbidity"
points = ["outlet"]
above = {bound}
for_min = 5
severity = "minor"
basis = "house"
"""
ONE, TWO = (DEFAULT.replace("2026.11", version) for version in ("one", "two"))


class Stage:
    def __init__(self, config: Config, engine: Engine) -> None:
        self.config, self.engine, self.now = config, engine, config.clock.now_ms()

    def write(self, text: str) -> None:
        path = Path(self.config.rules_file)
        beside = path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)

    async def publish(self, minutes: range, turbidity: float) -> None:
        async with await ReadingLog.connect(self.config, name="device") as log:
            for minute in minutes:
                payload = json.dumps({"t": self.now + minute * MINUTE, "v": {"turbidity": turbidity}}).encode()
                await log.publish(Topic("520425", "A", "outlet", "json"), payload)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, (what, self.status(), [(f.rule, f.end) for f in self.findings()])
            await asyncio.sleep(0.05)

    def findings(self, rule: str = "mine") -> list[Finding]:
        with reading(self.engine) as connection:
            found = list_findings(connection, kinds=[FindingKind.EXCEEDANCE])
        return [one for one in found if one.rule == rule]

    def status(self) -> RulesetStatus | None:
        with reading(self.engine) as connection:
            return next(iter(ruleset_statuses(connection)), None)

    def version(self) -> str:
        status = self.status()
        return status.version if status else ""

    def counted(self, name: str) -> int:
        with reading(self.engine) as connection:
            return counts(connection).get(name, 0)


def test_rules_come_into_force_while_the_evaluator_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICK_S", "REGISTER_POLL_S", "REFRESH_S"):
        monkeypatch.setattr(evaluator, name, 0.05)
    monkeypatch.setattr(evaluator, "SILENCE_HOLD_S", 1e9)
    with running_reading_log(tmp_path) as config:
        config = replace(config, rules_file=str(tmp_path / "rules.toml"))
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        stage = Stage(config, engine)
        stage.write(ONE + MINE.format(bound=2))
        with writing(engine) as connection:
            save_works(connection, [make_works("A", ("turbidity",))])
        try:
            asyncio.run(_story(stage))
        finally:
            engine.dispose()


async def _story(stage: Stage) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(Evaluator(stage.config, stage.engine).run(stop))
    try:
        await stage.until(lambda: stage.version() == "one", "status is written")
        await stage.publish(range(-60, -50), 2.5)
        await stage.until(stage.findings, "the rule fires")

        stage.write(ONE + MINE.format(bound='"limitless"'))
        await stage.until(
            lambda: (stage.status() or RulesetStatus("", "", "", "", 0)).error, "the faulty one is refused"
        )
        status = stage.status()
        assert status is not None
        assert re.search(r"rule\[\d+\]\.above = 'limitless'", status.error)
        assert (status.version, stage.counted("rulesets.refused")) == ("one", 1)

        stage.write(TWO + MINE.format(bound=2.2))
        await stage.until(lambda: stage.version() == "two", "the changed rule is in force")
        await stage.publish(range(-50, -48), 2.5)
        await stage.until(
            lambda: stage.findings()[0].rule_version == "two", "the finding goes on under the new version"
        )
        (same,) = stage.findings()
        assert (same.start, same.end, same.withdrawn) == (stage.now - 60 * MINUTE, None, False)

        # A ruleset put in force in the database goes before the file, for every evaluator that reads it.
        text = DEFAULT.replace("2026.11", "three")
        with writing(stage.engine) as connection:
            number = store_ruleset(connection, digest_of(text), "three", text, stage.now, "tester")
            activate_ruleset(connection, number, stage.now, "tester")
        await stage.until(lambda: stage.version() == "three", "the activated one is in force")
        await stage.until(lambda: stage.findings()[0].withdrawn, "a rule that is gone says nothing more")
        (gone,) = stage.findings()
        assert gone.end is not None
        assert "不代表已恢复达标" in gone.reason
        assert stage.counted("rulesets.switched") == 2

        with writing(stage.engine) as connection:
            activate_ruleset(connection, None, stage.now, "tester")
        await stage.until(lambda: stage.version() == "two", "back to the file")
    finally:
        stop.set()
        await task


def test_stored_rulesets_are_kept_once_and_the_newest_activation_decides(database_url: str) -> None:  # noqa: F811
    upgrade(database_url)
    engine = open_database(database_url)
    try:
        with writing(engine) as connection:
            assert active_ruleset(connection) is None
            one = store_ruleset(connection, "d1", "1", "text one", 10, "a")
            two = store_ruleset(connection, "d2", "2", "text two", 20, "b")
            assert store_ruleset(connection, "d1", "1", "text one", 30, "c") == one != two
            activate_ruleset(connection, one, 40, "a")
            activate_ruleset(connection, two, 50, "a")
        with reading(engine) as connection:
            active = active_ruleset(connection)
            assert active is not None
            assert (active.id, active.body, active.stored_by) == (two, "text two", "b")
            assert [held.id for held in list_rulesets(connection)] == [two, one]
        with writing(engine) as connection:
            activate_ruleset(connection, None, 60, "a")
            assert active_ruleset(connection) is None
    finally:
        engine.dispose()
