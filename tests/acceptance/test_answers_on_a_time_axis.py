"""What people answer from their phones, and what comes of it: acknowledged, fixed, help, a note, each on the hour it comes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from alerts.answers import Given, Taken, take_answer
from alerts.sms_answers import take_reply
from qingquan.domain.answers import AnswerKind, AnswerOutcome
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.store.sql.answers import answers_of, list_answers
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.duty import OFFICER, STATION, Watch

CARETAKER, MANAGER = "13800000001", "13900000002"
R = TransitionReason


class Phones(Watch):
    """A watch whose people answer."""

    def at(self, clock: str, day: int = 0) -> "Phones":
        """Let time pass until that hour."""
        super().at(clock, day)
        return self

    def answers(self, kind: AnswerKind, name: str = "张三", key: str = "", text: str = "") -> Taken:
        """Somebody answers to the newest incident; the same ``key`` is the same answer."""
        self._number = getattr(self, "_number", 0) + 1
        given = Given(self.newest.id, kind, "link", CARETAKER, name, key or f"k{self._number}", text)
        with writing(self.engine) as connection:
            return take_answer(connection, given, register_of(*self.works.values()).get, self.now, self.settings)

    def replies(self, content: str, phone: str = CARETAKER, sequence: int = 0) -> dict[str, int]:
        """A reply by SMS comes in; counts by outcome."""
        self._number = getattr(self, "_number", 0) + 1
        row = {
            "phone_number": phone,
            "send_time": "2026-06-21 08:40:00",
            "content": content,
            "sequence_id": sequence or self._number,
        }
        with writing(self.engine) as connection:
            lookup = register_of(*self.works.values()).get
            return dict(take_reply(connection, row, lookup, self.now, self.settings))

    @property
    def newest(self) -> Incident:
        return self.incidents()[0]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = current_sqlite(tmp_path / "answers.db")
    opened = open_database(url)
    with writing(opened) as connection:
        save_works(connection, [example_works()])
    yield opened
    opened.dispose()


@pytest.fixture
def phones(engine: Engine) -> Phones:
    watch = Phones(engine)
    watch.at("08:35").judged(example_finding("missing"))
    watch.at("08:36").news()
    return watch


def when(minute: int) -> int:
    return START + minute * MINUTE


def test_an_acknowledgement_from_the_phone_stops_the_ladder_and_again_extends_the_lease(phones: Phones) -> None:
    phones.at("08:40").answers(AnswerKind.ACKNOWLEDGED)
    assert phones.newest.acknowledged_by == "张三"
    phones.at("09:30").answers(AnswerKind.ACKNOWLEDGED, "李四")
    phones.at("10:28")
    assert phones.news() == [], "60 min from the second answer, not from the first"
    assert phones.newest.acknowledged_by == "张三", "who had it first, has it"
    phones.at("10:32")
    assert [to for _, to, _ in phones.news()] == [CARETAKER, STATION]


def test_fixed_resolves_nothing_and_without_evidence_the_ladder_goes_on(phones: Phones) -> None:
    phones.at("08:50").answers(AnswerKind.FIXED, text="换了投加泵")
    assert phones.newest.state is IncidentState.ACKNOWLEDGED
    assert phones.newest.summary["fixed_by"] == "张三"
    assert phones.history()[-1] is R.REPORTED_FIXED
    phones.news()
    phones.at("10:48")
    assert (phones.news(), phones.newest.state) == ([], IncidentState.ACKNOWLEDGED)
    phones.at("10:52")
    assert [to for _, to, _ in phones.news()] == [OFFICER], (
        "two hours without evidence: the word is not taken for the water"
    )
    assert "fixed_by" not in phones.newest.summary


def test_fixed_and_shown_by_data_is_over_and_those_told_hear_of_it(phones: Phones) -> None:
    phones.at("08:50").answers(AnswerKind.FIXED)
    phones.news()
    phones.at("09:20").judged(example_finding("missing", end=when(80)))
    phones.at("09:22")
    assert phones.newest.state is IncidentState.RESOLVED
    assert {step for _, _, step in phones.news()} == {"recovered"}
    late = phones.answers(AnswerKind.ACKNOWLEDGED)
    assert late.answer.outcome is AnswerOutcome.OVER, "kept, and changes nothing"
    assert phones.newest.state is IncidentState.RESOLVED


def test_help_climbs_at_once_and_says_who_asks(phones: Phones) -> None:
    phones.at("08:40").answers(AnswerKind.ACKNOWLEDGED)
    phones.news()
    assert phones.answers(AnswerKind.HELP).climbed
    phones.at("08:41")
    assert {to for _, to, _ in phones.news()} == {CARETAKER, STATION}
    assert "张三请求支援" in next(one.text for one in phones.heard if one.to == STATION)
    assert phones.newest.state is IncidentState.OPEN, "somebody above has to take it on"
    phones.at("09:26")
    assert [to for _, to, _ in phones.news()] == [OFFICER], "the rung above, 45 min after this one as always"


def test_help_at_night_and_under_a_silence_still_climbs(engine: Engine) -> None:
    phones = Phones(engine)
    phones.at("22:30").judged(example_finding("low", kind=FindingKind.DISINFECTION_LOW, minute=860))
    phones.silenced(10)
    phones.at("22:40").answers(AnswerKind.HELP)
    phones.at("22:42")
    assert STATION in {to for _, to, _ in phones.news()}


def test_help_at_the_ladders_end_says_so(phones: Phones) -> None:
    for _ in range(14):
        phones.answers(AnswerKind.HELP)
    assert not phones.answers(AnswerKind.HELP).climbed
    assert phones.history().count(R.HELP_WANTED) == 15


def test_a_note_extends_the_lease_and_takes_nothing_on(phones: Phones) -> None:
    phones.answers(AnswerKind.NOTE, text="在路上")
    assert phones.newest.state is IncidentState.OPEN
    phones.at("08:40").answers(AnswerKind.ACKNOWLEDGED)
    phones.news()
    phones.at("09:35").answers(AnswerKind.NOTE, text="配件下午到")
    phones.at("10:33")
    assert phones.news() == []
    phones.at("10:37")
    assert [to for _, to, _ in phones.news()] == [CARETAKER, STATION]


def test_the_same_answer_twice_is_one(phones: Phones) -> None:
    first = phones.answers(AnswerKind.HELP, key="click-1")
    again = phones.answers(AnswerKind.HELP, key="click-1")
    assert (first.is_new, again.is_new, again.answer.id) == (True, False, first.answer.id)
    assert phones.history().count(R.HELP_WANTED) == 1


def test_an_answer_by_sms_counts_from_a_number_on_file_that_was_told(phones: Phones, engine: Engine) -> None:
    assert phones.replies("1", sequence=77) == {"taken": 1}
    assert phones.replies("1", sequence=77) == {"known": 1}, "the provider pushes again what it is not sure of"
    assert phones.newest.acknowledged_by == "张三"
    assert phones.replies("1", phone="13111111111") == {"unknown_sender": 1}
    assert phones.replies("1", phone=OFFICER) == {"no_incident": 1}, "on file, but never told of it"
    assert phones.replies("谁呀") == {"unclear": 1}
    with reading(engine) as connection:
        refused = list_answers(connection, outcomes=[AnswerOutcome.UNKNOWN_SENDER]).items
        taken = answers_of(connection, phones.newest.id)
    assert [(one.sender, one.text) for one in refused] == [("13111111111", "1")]
    assert [(one.person, one.channel, one.kind) for one in taken] == [("张三", "sms_reply", AnswerKind.ACKNOWLEDGED)]


def test_of_several_incidents_the_code_says_which_and_help_is_never_left_lying(phones: Phones) -> None:
    first = phones.newest.id
    phones.judged(example_finding("ntu", kind=FindingKind.EXCEEDANCE, parameter="turbidity", severity=2))
    phones.at("08:38")
    second = phones.newest.id
    assert phones.replies("1") == {"unclear": 1}
    assert phones.replies(f"2 {first}") == {"taken": 1}
    assert {one.id: "fixed_by" in one.summary for one in phones.incidents()} == {first: True, second: False}
    assert phones.replies("3") == {"taken": 2}, "both climb: better once too often"
    assert phones.replies("1 99999") == {"no_incident": 1}


def test_what_gets_worse_takes_the_fix_back(engine: Engine) -> None:
    phones = Phones(engine)
    phones.at("08:35").judged(example_finding("low", kind=FindingKind.DISINFECTION_LOW))
    phones.at("08:50").answers(AnswerKind.FIXED)
    phones.at("09:00").judged(example_finding("missing", minute=55))
    assert phones.newest.state is IncidentState.OPEN
    phones.answers(AnswerKind.ACKNOWLEDGED)
    assert "fixed_by" not in phones.newest.summary


def test_a_drill_is_answered_like_an_alarm_and_ends(engine: Engine) -> None:
    phones = Phones(engine)
    drill = phones.at("09:00").drill()
    with writing(engine) as connection:
        given = Given(drill.id, AnswerKind.ACKNOWLEDGED, "link", CARETAKER, "张三", "drill")
        take_answer(connection, given, register_of(*phones.works.values()).get, phones.now, phones.settings)
    phones.at("09:02")
    assert phones.incidents(drills=True)[0].state is IncidentState.RESOLVED
