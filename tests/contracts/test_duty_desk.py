"""The console's desk for rosters, silences and drills over a real database: what it takes, what it refuses, what it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from alerts.apply import apply_findings
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.duty import DutyPerson
from qingquan.errors import NotFound, TransitionRefused
from qingquan.services.alert_checks import check_alerts, explain_incident
from qingquan.services.duty_desk import RosterDesk
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.incidents import acknowledge
from qingquan.store.sql.register import load_works, save_works
from qingquan.store.sql.schema import incident
from qingquan.testing.alerts import START, example_finding, example_works, register_of


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=str(tmp_path), clock_start_ms=START, clock_epoch_ms=0, clock_speed=1.0)


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    upgrade(config.sql_url)
    opened = open_database(config.sql_url)
    with writing(opened) as connection:
        save_works(connection, [example_works()])
    yield opened
    opened.dispose()


@pytest.fixture
def desk(engine: Engine, config: Config) -> RosterDesk:
    return RosterDesk(engine, config)


def officer(name: str, **fields: str) -> DutyPerson:
    given = {"role": "county_duty", "area": "520425", "township": "", "phone": "13600000004"} | fields
    return DutyPerson(0, name=name, **given)


def test_somebody_has_the_duty_from_the_moment_a_plan_is_made(desk: RosterDesk) -> None:
    desk.add_person(officer("王五"))
    desk.add_person(officer("孙七"))
    ids = [person.id for person in desk.week("520425").persons]
    assert desk.plan(ids, [], 7) == 7
    assert desk.plan(ids, [], 7) == 0, "again changes nothing"
    (on_duty,) = desk.week("520425").now.values()
    assert len(on_duty) == 1


def test_a_swap_shows_at_once(desk: RosterDesk) -> None:
    desk.add_person(officer("王五"))
    desk.add_person(officer("孙七"))
    ids = {person.name: person.id for person in desk.week("520425").persons}
    desk.plan([ids["王五"]], [], 3)
    desk.swap(ids["王五"], ids["孙七"], 2, "王五", "")
    assert list(desk.week("520425").now.values()) == [["孙七"]]
    with pytest.raises(NotFound, match="person 999"):
        desk.swap(ids["王五"], 999, 2, "王五", "")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"role": "mayor"}, "allowed: township, county_duty"),
        ({"area": "5204"}, "6 digits"),
        ({"phone": ""}, "a phone or a WeCom id"),
        ({"role": "township"}, "names its township"),
    ],
)
def test_a_person_that_could_never_be_told_is_refused(desk: RosterDesk, fields: dict[str, str], said: str) -> None:
    with pytest.raises(TransitionRefused, match=said):
        desk.add_person(officer("王五", **fields))


def test_a_silence_is_ended_by_a_person_before_its_time(desk: RosterDesk) -> None:
    number = desk.silence("520425", "", "W0077", "", 4, "王五", "清洗清水池")
    ended = desk.end_silence(number, "孙七")
    assert ended.ended_by == "孙七"
    assert [one.id for one in desk.silences("52")] == [number]
    with pytest.raises(NotFound):
        desk.end_silence(99, "孙七")


def test_one_drill_at_a_works_at_a_time_and_only_at_a_works_of_the_register(desk: RosterDesk) -> None:
    first = desk.drill("520425", "W0077", "王五")
    assert (first.drill_number, first.is_drill) == (1, True)
    with pytest.raises(TransitionRefused, match="under way"):
        desk.drill("520425", "W0077", "王五")
    with pytest.raises(NotFound):
        desk.drill("520425", "W9999", "王五")
    assert [one.id for one in desk.drills("")] == [first.id]


def test_explain_says_who_gets_what_when_and_why_in_both_languages(
    engine: Engine, config: Config, desk: RosterDesk
) -> None:
    with writing(engine) as connection:
        apply_findings(connection, [example_finding()], register_of(example_works()), config.clock.now_ms())
    told, words = explain_incident(config, 1, "zh")
    assert [rung.rung for rung in told.rungs[:3]] == ["first", "township", "county_duty"]
    assert words.startswith("事件 1 城东水厂：严重，未确认")
    assert "管水员 张三（短信，未送达改用语音电话）" in words
    assert "管水员 张三（语音电话，未送达改用短信）" in words
    assert "乡镇水管站: 未通知，没有登记人员" in words
    _, english = explain_incident(config, 1, "en")
    assert "county leader: not told, nobody is on file" in english
    assert desk.explain(1, "en")["rungs"][0]["done"] is True
    with pytest.raises(NotFound):
        explain_incident(config, 99, "zh")


def test_check_names_the_posts_nobody_holds(engine: Engine, config: Config) -> None:
    said = {(fault.where, fault.en) for fault in check_alerts(config)}
    assert ("520425", "county duty: nobody is on file") in said
    assert ("5204", "prefecture duty: nobody is on file") in said


def test_drills_are_drawn_by_turns_until_every_works_has_had_one(engine: Engine, desk: RosterDesk) -> None:
    with writing(engine) as connection:
        save_works(connection, [example_works(id=f"W{n:04}", name=f"水厂{n}") for n in range(1, 31)])
    with reading(engine) as connection:
        number_of_works = len(load_works(connection))
    held: list[str] = []
    while len(held) < number_of_works:
        drills = desk.draw_drills("520425", 10, "王五")
        assert len(drills) == 4, "a tenth of 31, rounded up"
        held += [one.works for one in drills]
        with writing(engine) as connection:
            for one in drills:
                acknowledge(connection, one.id, "张三", to_ms(one.opened_at) + len(held) * 60_000)
                connection.execute(
                    update(incident).where(incident.c.id == one.id).values(state="resolved", open_key=None)
                )
    assert len(set(held)) == number_of_works, "nobody twice before everybody has had one"
    (figures,) = desk.drill_figures("52", 365)
    assert (figures.county, figures.held, figures.answered) == ("520425", 32, 32)
    assert figures.median_ms is not None
    assert (figures.median_ms, figures.longest_ms) == (18 * 60_000, 32 * 60_000)
    assert desk.drill_figures("51", 365) == []


@pytest.mark.parametrize(
    ("county", "percent", "said"),
    [("520425", 0.0, "share = 0 %: allowed"), ("520425", 50.0, "at most 10"), ("530000", 1.0, "county 530000")],
)
def test_a_draw_that_cannot_be_is_refused_with_the_reason(
    desk: RosterDesk, county: str, percent: float, said: str
) -> None:
    with pytest.raises((TransitionRefused, NotFound), match=said):
        desk.draw_drills(county, percent, "王五")
    assert list(desk.drills("")) == []


def test_a_drill_nobody_has_answered_yet_counts_for_nothing(desk: RosterDesk) -> None:
    desk.draw_drills("520425", 1, "王五")
    (figures,) = desk.drill_figures("", 365)
    assert (figures.held, figures.answered, figures.median_ms, figures.longest_ms) == (0, 0, None, None)
