"""What the detector takes from the register and the state of works, and how long the log waits for it."""

import json
import time
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity
from qingquan.domain.readings import LogMessage
from qingquan.domain.state import WorksDisinfection, WorksState
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.detector import Detector
from qingquan.services.detector_watch import UNKNOWN_HELD_MS, advice_of, is_held, watched
from qingquan.services.log_space import FULL_SHARE, PATIENCE_S, Laggard
from qingquan.standards.loader import load_standards
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import save_works_states
from qingquan.testing.databases import current_sqlite
from rules.reasons import sentence

PARAMETERS = load_standards().parameters
T0 = 1_777_600_800_000
SUBJECT = "part.3.wq.520425.W1.outlet.json"


def works(number: int, *codes: str) -> Works:
    point = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", codes)
    return Works(
        "520425", f"W{number}", "水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000, (point,)
    )


def state(disinfection: DisinfectionState, number: int = 1) -> WorksState:
    return WorksState("520425", f"W{number}", disinfection, T0, T0, stale=False)


def disinfected(word: str) -> WorksDisinfection:
    return WorksDisinfection("520425", "W1", DisinfectionState(word), T0)


@pytest.mark.parametrize("disinfection", ["low", "missing", "high"])
def test_nothing_is_learnt_while_disinfection_is_known_to_be_wrong(disinfection: str) -> None:
    assert is_held(disinfected(disinfection), T0 + 365 * 86_400_000)


@pytest.mark.parametrize("disinfection", ["ok", "not_equipped", "idle"])
def test_a_works_that_is_well_or_has_nothing_to_lose_is_learnt_from(disinfection: str) -> None:
    assert not is_held(disinfected(disinfection), T0)


def test_an_unknown_state_holds_for_hours_and_not_for_good() -> None:
    unknown = disinfected("unknown")
    assert is_held(unknown, T0 + UNKNOWN_HELD_MS - 1)
    assert not is_held(unknown, T0 + UNKNOWN_HELD_MS)
    assert not is_held(None, T0)


def test_holds_are_read_by_works(tmp_path: Path) -> None:
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    plan = watched([works(n, "ph", "turbidity") for n in (1, 2, 3)], PARAMETERS)
    with writing(engine) as connection:
        save_works_states(connection, [state(DisinfectionState.OK), state(DisinfectionState.MISSING, number=2)])
    with reading(engine) as connection:
        assert advice_of(connection, plan, T0).held.tolist() == [False, True, False]
    engine.dispose()


def test_flow_sample_flow_doser_and_power_are_followed() -> None:
    codes = ("flow", "sample_flow", "doser_running", "power")
    (point,) = watched([works(1, "ph", "turbidity", "tank_level", *codes)], PARAMETERS).points
    assert point.columns == ("ph", "turbidity")
    assert point.operations == codes


def test_the_log_waits_for_a_detector_that_moves_and_for_no_other() -> None:
    laggard = Laggard()
    assert laggard.holds_at(0, 0.0, 0.1) is None
    assert laggard.holds_at(100, 10.0, 0.1) == 100
    assert laggard.holds_at(100, 10.0 + PATIENCE_S, 0.1) == 100
    assert laggard.holds_at(100, 11.0 + PATIENCE_S, 0.1) is None
    assert laggard.holds_at(101, 12.0 + PATIENCE_S, 0.1) == 101
    assert laggard.holds_at(102, 13.0 + PATIENCE_S, FULL_SHARE) is None


@pytest.mark.parametrize(
    ("language", "known", "words"),
    [
        ("zh", "", "出厂水余氯、浊度突变，持续20分钟（仅供参考，请核实）"),
        ("zh", "滤池反冲洗", "突变，持续20分钟（与已知的“滤池反冲洗”相似）"),
        ("en", "", "for 20 min (advisory; please check)"),
        ("en", "backwash", 'for 20 min (looks like the known "backwash")'),
    ],
)
def test_a_sudden_change_is_told_in_a_sentence(language: str, known: str, words: str) -> None:
    evidence = {"contributors": "free_chlorine;turbidity", **({"known": known} if known else {})}
    finding = Finding(
        id="x", kind=FindingKind.WATER_EVENT, severity=Severity.MINOR, county="520425", works="W1", point="outlet", parameter="",
        start=T0, end=T0 + 1_200_000, evidence_at=T0 + 1_200_000, extreme=2.0, limit=1.0, clause="", rule="water_event",
        rule_version="1", reason="", evidence=evidence,
    )  # fmt: skip
    told = sentence(finding, None, language, PARAMETERS)
    names = [
        PARAMETERS[code].name_zh if language == "zh" else PARAMETERS[code].name_en
        for code in ("free_chlorine", "turbidity")
    ]
    assert all(name.lower() in told.lower() for name in names), told
    assert words.removeprefix("出厂水余氯、浊度") in told


def test_an_event_of_a_works_that_fell_silent_ends_by_the_clock_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, [works(1, "ph", "turbidity")])
        save_works_states(connection, [state(DisinfectionState.OK)])
    detector = Detector(config, engine)
    detector.resume()
    silent_since = (time.time_ns() // 60_000_000_000 - 120) * 60_000

    def message(sequence: int, minute: int, jump: float) -> LogMessage:
        at = silent_since + minute * 60_000
        noise = (sequence % 7 - 3) * 0.003
        payload = json.dumps({"t": at, "v": {"ph": 7.2 + noise + jump, "turbidity": 0.3 + noise + jump}}).encode()
        return LogMessage(sequence, at + 1000, SUBJECT, payload)

    def found() -> list[Finding]:
        detector.commit()
        with reading(engine) as connection:
            return list(list_findings(connection, kinds=[FindingKind.WATER_EVENT]).items)

    detector.fold([message(n + 1, n - 420, 0.8 * (n >= 405)) for n in range(420)])
    (lasting,) = found()
    assert lasting.end is None
    assert not lasting.late
    assert detector.tick()
    (ended,) = found()
    assert (ended.id, ended.end) == (lasting.id, silent_since - 60_000)
    assert not detector.tick()
    detector.fold([message(421 + n, n, 0.8 * (n < 10)) for n in range(20)])
    (again,) = found()
    assert again.id == lasting.id
    assert again.evidence_at > ended.evidence_at
    engine.dispose()
