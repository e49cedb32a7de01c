"""An evaluator keeps no contacts; whom a finding concerns is told all the same."""

import asyncio
from dataclasses import replace
from pathlib import Path

from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind, Severity, finding_id
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Contact, Role
from qingquan.services.evaluator import Evaluator
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import START, make_works


def test_the_caretaker_of_the_register_is_told(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    caretaker = Contact(Role.CARETAKER, "杨某", "19900000001")
    works = replace(make_works("A"), contacts=(caretaker,))
    with writing(engine) as connection:
        save_works(connection, [works])
    evaluator = Evaluator(config, engine)
    evaluator._restore()
    assert all(not one.contacts for one in evaluator._works.values())
    key = SeriesKey(works.county, works.id, "outlet", "free_chlorine")
    missing = Finding(
        id=finding_id(FindingKind.DISINFECTION_MISSING, "missing", key, START), kind=FindingKind.DISINFECTION_MISSING,
        severity=Severity.CRITICAL, county=key.county, works=key.works, point=key.point, parameter=key.parameter, start=START,
        end=None, evidence_at=START, extreme=0.0, limit=0.3, clause="", rule="missing", rule_version="1", reason="", late=False,
        evidence={},
    )  # fmt: skip
    asyncio.run(evaluator._commit([missing]))
    with reading(engine) as connection:
        told = list_messages(connection).items
    engine.dispose()
    assert caretaker.phone in {one.receiver for one in told}
