"""Who is told next when nobody answers, what keeps quiet what, and how drills go: a day at the county, hour by hour."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from qingquan.domain.disinfection import Verdict
from qingquan.domain.duty import DutyPerson
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import IncidentState, TransitionReason
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.works import Equipment
from qingquan.errors import TransitionRefused
from qingquan.store.sql import duty
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.maintenance import insert_maintenance
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works
from qingquan.testing.databases import current_sqlite
from qingquan.testing.duty import LEADER, OFFICER, PREFECTURE, STATION, Watch, county_people

CARETAKER, MANAGER, GROUP = "13800000001", "13900000002", "group:520425"
K = FindingKind


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = current_sqlite(tmp_path / "duty.db")
    opened = open_database(url)
    yield opened
    opened.dispose()


@pytest.fixture
def watch(engine: Engine) -> Watch:
    return Watch(engine)


def missing(**fields: Any) -> Finding:
    return example_finding("missing", kind=K.DISINFECTION_MISSING, **fields)


def low(**fields: Any) -> Finding:
    return example_finding("low", kind=K.DISINFECTION_LOW, extreme=0.21, **fields)


def silent(works: str = "W0077", **fields: Any) -> Finding:
    return example_finding(
        f"silent-{works}", kind=K.STALE, works=works, extreme=None, limit=None, clause="", **fields
    )  # fmt: skip


def when(minute: int) -> int:
    return START + minute * MINUTE


def test_a_critical_alarm_that_nobody_answers_climbs_to_the_prefecture(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.at("08:49")
    assert watch.news() == [
        ("08:35", CARETAKER, "firing"), ("08:35", MANAGER, "firing"), ("08:35", GROUP, "firing"),
    ]  # fmt: skip
    watch.at("08:51")
    assert watch.news() == [("08:50", CARETAKER, "township"), ("08:50", STATION, "township")]
    assert [one.channel for one in watch.heard[-2:]] == ["aliyun_voice", "aliyun_sms"], "the caretaker is rung up"
    watch.at("09:34")
    assert watch.news() == []
    watch.at("09:36")
    assert watch.news() == [("09:35", OFFICER, "county_duty")]
    watch.at("12:36")
    assert watch.news() == [("12:35", LEADER, "county_leader")]
    assert TransitionReason.PROBLEM_DUE in watch.history()
    watch.at("08:40", day=1)
    assert [to for _, to, _ in watch.news()] == [PREFECTURE]


def test_an_acknowledgement_stops_the_ladder_and_calls_off_what_waits(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.acknowledged_by("王五").at("09:34")
    assert watch.news() == []
    assert set(watch.not_sent()) == {"acknowledged by 王五 before it was sent"}


def test_an_acknowledgement_that_runs_out_lets_the_ladder_go_on(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.at("08:40").acknowledged_by("张三")
    watch.at("09:39")
    assert len(watch.news()) == 3
    watch.at("09:42")
    assert [to for _, to, _ in watch.news()] == [CARETAKER, STATION], "the rung that was next when it was taken on"
    assert TransitionReason.LEASE_EXPIRED in watch.history()
    assert watch.incidents()[0].state is IncidentState.OPEN
    watch.at("10:26")
    assert [to for _, to, _ in watch.news()] == [OFFICER]


def test_a_rung_without_anybody_hands_on_at_once_and_says_so(engine: Engine) -> None:
    watch = Watch(engine, [one for one in county_people() if one.role in ("county_leader", "prefecture")])
    watch.at("08:35").judged(missing())
    watch.at("09:36")
    assert [to for at, to, _ in watch.news() if at == "09:35"] == [LEADER], "county duty has nobody: the leader is next"
    assert "没有登记人员" in watch.not_sent()


def test_the_roster_says_who_answers_and_a_hole_is_told(watch: Watch) -> None:
    watch.on_shift("值班员王五", time(0), time(9))
    watch.at("08:35").judged(missing())
    watch.at("09:36")
    assert [to for at, to, _ in watch.news() if at == "09:35"] == [LEADER]
    assert "值班表此时无人值班" in watch.not_sent()


def test_a_swap_puts_another_person_in_place(engine: Engine) -> None:
    stand_in = DutyPerson(0, "county_duty", "520425", "", "替班员孙七", "13300000007")
    watch = Watch(engine, [*county_people(), stand_in]).on_shift("值班员王五", time(0), time(23))
    watch.swapped("值班员王五", "替班员孙七", hours=12)
    watch.at("08:35").judged(missing())
    watch.at("09:36")
    assert [to for at, to, _ in watch.news() if at == "09:35"] == ["13300000007"]


def test_at_night_only_what_is_critical_rings(watch: Watch) -> None:
    watch.at("23:00").judged(low(minute=870))
    watch.at("06:30", day=1)
    assert [to for _, to, _ in watch.news()] == [GROUP]
    watch.at("07:05", day=1)
    assert ("07:00", CARETAKER, "firing") in watch.news()


def test_a_critical_alarm_rings_at_night(watch: Watch) -> None:
    watch.at("23:00").judged(missing(minute=870))
    watch.at("23:02")
    assert {to for _, to, _ in watch.news()} == {CARETAKER, MANAGER, GROUP}


def test_what_gets_worse_takes_the_acknowledgement_back_and_begins_a_new_round(watch: Watch) -> None:
    watch.at("08:35").judged(low())
    watch.at("08:40").acknowledged_by("张三")
    watch.at("08:45").judged(missing(minute=40), low(end=when(45)))
    watch.at("09:02")
    steps = [(to, step) for _, to, step in watch.news()]
    assert (CARETAKER, "raised_critical") in steps
    assert (STATION, "township_1") in steps


def test_a_silence_is_shown_and_what_outlasts_it_is_told(watch: Watch) -> None:
    watch.at("08:30").silenced(1, works="W0077")
    watch.at("08:35").judged(missing())
    watch.at("09:29")
    assert watch.news() == []
    assert watch.not_sent() == ["王五已设静默，至2026-06-21 09:30"]
    assert watch.incidents()[0].state is IncidentState.OPEN, "shown and counted all the same"
    watch.at("09:32")
    assert {to for _, to, _ in watch.news()} == {CARETAKER, MANAGER, GROUP}


def test_a_silence_has_an_end_an_author_and_a_reason(watch: Watch) -> None:
    with pytest.raises(TransitionRefused, match="at most 72 h"):
        watch.silenced(73)
    with pytest.raises(TransitionRefused, match="longer than nothing"):
        watch.silenced(0)


def test_a_silence_of_one_works_does_not_quiet_another(watch: Watch) -> None:
    watch.works["W2"] = example_works("W2")
    watch.silenced(5, works="W2")
    watch.at("08:35").judged(missing())
    watch.at("08:36")
    assert len(watch.news()) == 3


def test_a_power_cut_mutes_what_follows_from_it(watch: Watch) -> None:
    power = example_finding(
        "power", kind=K.EXCEEDANCE, parameter="power", extreme=0.0, limit=1.0, severity=Severity.MAJOR
    )
    watch.at("08:35").judged(power, missing())
    watch.at("08:40")
    assert {step for _, _, step in watch.news()} == {"firing"}
    assert [one.channel for one in watch.heard] == ["wecom_robot"], "one message, about the power"
    assert watch.not_sent() == ["由同一工程的“停电”引起，不单独通知"]
    assert len(watch.incidents()) == 2, "the child is shown all the same"
    watch.at("09:00").judged(replace(power, end=when(60), evidence_at=when(60)))
    watch.at("09:10")
    assert CARETAKER in {to for _, to, _ in watch.news()}, "power is back, disinfection is not"


def test_a_power_cut_explains_nothing_where_water_still_flows_undosed(watch: Watch) -> None:
    power = example_finding(
        "power",
        kind=K.EXCEEDANCE,
        rule="power-lost",
        parameter="power",
        extreme=0.0,
        limit=0.5,
        severity=Severity.MAJOR,
    )
    watch.at("08:35").judged(power)
    verdict = Verdict("power_cut_water_flows", "loss", "", "", "停电，未加药", "请人工投加")
    watch.judged(missing(), verdict_of=lambda _: verdict)
    watch.at("08:40")
    assert CARETAKER in {to for _, to, _ in watch.news()}, "the one message that matters"
    assert any("市电中断" in one.text for one in watch.heard)


def test_a_township_without_power_is_one_message(watch: Watch) -> None:
    watch.works = {f"W{n:02d}": example_works(f"W{n:02d}", name=f"第{n}水厂") for n in range(8)}
    cut = [
        example_finding(f"p{n}", kind=K.EXCEEDANCE, rule="power-lost", works=f"W{n:02d}", parameter="power", extreme=0.0, severity=Severity.MAJOR)
        for n in range(8)
    ]  # fmt: skip
    watch.at("08:20").judged(*cut)
    watch.at("08:25")
    (posted,) = watch.heard
    assert "青山镇8处工程" in posted.text


def test_a_works_that_is_cut_off_is_silent_and_not_without_power(watch: Watch) -> None:
    of_mains = example_finding("of-mains", kind=K.STALE, parameter="power", extreme=None, limit=None, clause="")
    watch.at("08:35").judged(silent(), of_mains)
    watch.at("08:40")
    (posted,) = watch.heard
    assert "停电" not in posted.text
    assert [one.summary["cause"] for one in watch.incidents()] == ["silent"], "one trouble, one incident"


@pytest.mark.parametrize(("simulated", "heading"), [(True, "**【模拟】"), (False, "**")])
def test_what_is_told_of_a_township_of_simulated_works_is_marked(watch: Watch, simulated: bool, heading: str) -> None:
    watch.works = {f"W{n}": example_works(f"W{n}", simulated=simulated) for n in range(5)}
    watch.at("08:20").judged(*(silent(id_) for id_ in watch.works))
    watch.at("08:25").judged(*(silent(id_, end=when(30)) for id_ in watch.works))
    watch.at("08:40")
    assert [one.text.splitlines()[0] for one in watch.heard] == [
        f"{heading}较重告警｜青山镇**",
        f"{heading}告警解除｜青山镇**",
    ]


def test_maintenance_of_a_point_holds_the_ladder_of_what_was_open_there_until_it_ends(
    watch: Watch, engine: Engine
) -> None:
    watch.at("08:35").judged(low())
    watch.at("08:40").news()
    with writing(engine) as connection:
        save_works(connection, [example_works()])
        begun = Maintenance(0, "520425", "W0077", "outlet", watch.now, "王五", "更换电极", when(440))
        insert_maintenance(connection, begun)
    watch.at("12:40")
    assert watch.news() == [], "the rung of 12:35 waits: somebody is at the instruments"
    assert any("检修" in why for why in watch.not_sent())
    watch.at("15:26")
    assert MANAGER in {to for _, to, _ in watch.news()}, "its planned end has passed"


def test_forty_works_without_data_in_one_township_are_one_message(watch: Watch) -> None:
    watch.works = {f"W{n:02d}": example_works(f"W{n:02d}", name=f"第{n}水厂") for n in range(40)}
    watch.at("08:20")
    for ten in range(4):
        watch.judged(*(silent(f"W{n:02d}") for n in range(ten * 10, ten * 10 + 10)))
        watch.now += 10_000
    watch.at("08:25")
    (posted,) = watch.heard
    assert "青山镇40处工程数据中断" in posted.text
    group = next(one for one in watch.incidents() if not one.works)
    assert group.summary["count"] == "40"
    back = [silent(f"W{n:02d}", end=when(60)) for n in range(40)]
    watch.at("09:00").judged(*back)
    watch.at("09:06")
    assert [step for _, _, step in watch.news()] == ["firing", "recovered"]
    assert {one.state for one in watch.incidents()} == {IncidentState.RESOLVED}


def test_whoever_stays_silent_when_the_township_is_back_is_told_of_singly(watch: Watch) -> None:
    watch.works = {f"W{n}": example_works(f"W{n}", name=f"第{n}水厂") for n in range(8)}
    watch.at("08:20").judged(*(silent(id_) for id_ in watch.works))
    watch.at("08:30")
    watch.news()
    watch.judged(*(silent(f"W{n}", end=when(30)) for n in range(7)))
    watch.at("08:40")
    assert "第7水厂" in watch.heard[-1].text
    assert [step for _, _, step in watch.news()] == ["recovered", "firing"]


def test_what_comes_and_goes_is_told_as_such_and_not_each_time(watch: Watch) -> None:
    for n in range(6):
        start = n * 20 + 1
        watch.at(f"{8 + (start + 2) // 60:02d}:{(start + 2) % 60:02d}")
        watch.judged(example_finding(f"f{n}", kind=K.DISINFECTION_LOW, minute=start))
        watch.at(f"{8 + (start + 10) // 60:02d}:{(start + 10) % 60:02d}")
        watch.judged(example_finding(f"f{n}", kind=K.DISINFECTION_LOW, minute=start, end=when(start + 10)))
    watch.at("10:30")
    steps = [step for _, to, step in watch.news() if to == CARETAKER]
    assert steps == ["firing", "recovered"] * 3 + ["flapping", "recovered"]
    assert "反复" in next(one.text for one in watch.heard if one.step == "flapping" and one.to == GROUP)
    assert len(watch.incidents()) == 6, "each is shown"
    assert "反复告警（6次），暂不逐次通知" in watch.not_sent()


def test_what_flapped_but_stays_is_told_after_all(watch: Watch) -> None:
    for n in range(4):
        watch.judged(example_finding(f"f{n}", minute=n))
        if n < 3:
            watch.judged(example_finding(f"f{n}", minute=n, end=when(n)))
    watch.at("08:31")
    assert any(step == "firing" and to == CARETAKER for _, to, step in watch.news())


def test_a_recovery_goes_only_to_those_who_were_told(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.at("08:40").judged(missing(end=when(39)))
    watch.at("08:45")
    recovered = [to for _, to, step in watch.news() if step == "recovered"]
    assert recovered == [CARETAKER, MANAGER, GROUP]


def test_silence_is_never_recovery_however_long(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.at("08:50").judged(silent(minute=30))
    watch.at("08:55").judged(missing(end=when(54)))
    watch.at("20:00", day=2)
    water = next(one for one in watch.incidents() if one.kind is K.DISINFECTION_MISSING)
    assert (water.state, water.stale) == (IncidentState.OPEN, True)
    assert "recovered" not in {step for _, _, step in watch.news()}


def test_a_drill_is_marked_everywhere_and_counted_nowhere(watch: Watch) -> None:
    watch.at("09:00")
    drill = watch.drill()
    watch.at("09:16")
    assert drill.drill_number == 1
    assert all("演练" in one.text for one in watch.heard)
    assert {to for _, to, _ in watch.news()} == {CARETAKER, MANAGER, GROUP, STATION}
    assert watch.incidents() == []
    assert [one.id for one in watch.incidents(drills=True)] == [drill.id]
    watch.at("14:00")
    ended = watch.incidents(drills=True)[0]
    assert ended.state is IncidentState.RESOLVED
    assert LEADER not in {to for _, to, _ in watch.news()}, "a drill stops below the leader"


def test_a_drill_beside_a_real_alarm_changes_nothing_for_it(watch: Watch) -> None:
    watch.at("09:00").judged(missing())
    watch.drill()
    watch.at("09:02")
    real = [one for one in watch.heard if "演练" not in one.text]
    assert {one.to for one in real} == {CARETAKER, MANAGER, GROUP}


def test_a_works_without_equipment_that_is_a_known_problem_is_told_once(watch: Watch) -> None:
    watch.works = {"W0077": example_works(equipment=Equipment.NOT_EQUIPPED)}
    watch.at("08:35").judged(missing())
    watch.at("20:00")
    assert [to for _, to, _ in watch.news()] == [GROUP], "no ladder for what is on the list already"
    watch.judged(missing(end=when(700)))
    watch.judged(example_finding("again", minute=710))
    watch.at("22:00")
    assert [step for _, _, step in watch.news()] == ["recovered"]


def test_a_critical_incident_is_closed_with_a_cause_and_only_when_it_is_over(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    with pytest.raises(TransitionRefused, match="only data show"):
        watch.closed_by("王五", "no_chemical")
    watch.judged(missing(end=when(34)))
    with pytest.raises(TransitionRefused, match="allowed: no_chemical"):
        watch.closed_by("王五", "")
    assert watch.closed_by("王五", "no_chemical").state is IncidentState.CLOSED


def test_rungs_missed_while_the_alerter_was_down_are_climbed_in_order(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.now += 5 * 60 * MINUTE
    watch.tick()
    watch.tick()
    assert [step for _, _, step in watch.news()] == [
        "firing", "firing", "firing", "township", "township", "county_duty", "county_leader",
    ]  # fmt: skip


def test_a_clock_set_back_tells_nobody_twice(watch: Watch) -> None:
    watch.at("08:35").judged(missing())
    watch.at("09:40")
    before = len(watch.heard)
    watch.now -= 60 * MINUTE
    watch.tick()
    watch.at("09:40")
    assert len(watch.heard) == before


def test_a_person_taken_out_of_the_roster_is_not_told(watch: Watch) -> None:
    with writing(watch.engine) as connection:
        duty.delete_person(connection, watch.person("水管站赵六").id)
    watch.at("08:35").judged(missing())
    watch.at("08:52")
    assert STATION not in {to for _, to, _ in watch.news()}
