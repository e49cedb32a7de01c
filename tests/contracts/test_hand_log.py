"""Measurements by hand: entered by form, API or sheet, kept with who measured how, and put into the reading log once."""

import io
import json
import threading
from collections.abc import Iterator

import pytest
import xlsxwriter
from sqlalchemy import Engine

from ingest.decode import Decoder, PointDirectory
from qingquan.clock import Clock
from qingquan.domain.disinfection import Delivery, DisinfectionFacts, HandFault, HandMeasurement, HandMethod, Segment
from qingquan.domain.readings import LogMessage, SeriesCatalog, SeriesKey, Topic
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.errors import BrokerLost, NotFound
from qingquan.services.disinfection_desk import Desk
from qingquan.standards.loader import load_standards
from qingquan.store.sql.disinfection import unlogged_measurements
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import example_works
from qingquan.testing.databases import engine

__all__ = ["engine"]

NOW = 1_780_000_000_000  # 2026-05-28 20:26:40 UTC, 04:26 at the works the day after
OUTLET = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine",))


def hand_works(id_: str = "W0001", **fields: object) -> Works:
    return example_works(id_, **({"evidence": "hand", "points": (OUTLET,)} | fields))


class Log:
    """What the reading log has taken; while ``is_down`` it takes nothing."""

    def __init__(self) -> None:
        self.taken: list[tuple[Topic, dict[str, object]]] = []
        self.is_down = False

    def publish(self, topic: Topic, payload: bytes) -> int:
        if self.is_down:
            raise BrokerLost("down")
        self.taken.append((topic, json.loads(payload)))
        return len(self.taken)


class Fixed(Clock):
    def now_ms(self) -> int:
        return NOW


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def desk(engine: Engine, log: Log) -> Iterator[Desk]:
    with writing(engine) as connection:
        save_works(
            connection, [hand_works(), example_works("W0002"), hand_works("W0003", disinfectant=Disinfectant.UV)]
        )
    return Desk(engine, Fixed(), log.publish)


def test_a_measurement_is_kept_and_put_into_the_log_as_a_reading(desk: Desk, log: Log) -> None:
    measured = desk.log(hand_works(), "0.35", " 李 四 ", observed_at="2026-05-29T04:00", note="晨检")
    assert isinstance(measured, HandMeasurement)
    ((topic, message),) = log.taken
    assert topic == Topic("520425", "W0001", "outlet", "json")
    assert message["v"] == {"free_chlorine": 0.35}
    assert message["t"] == measured.observed_at == 1_779_998_400_000
    kept = desk.measurements("520425", "W0001", 10, 0).items[0]
    assert (kept.person, kept.method, kept.note, kept.sequence) == ("李 四", HandMethod.DPD_COLOUR, "晨检", 1)


def test_what_is_logged_decodes_as_a_reading_of_that_point(desk: Desk, log: Log) -> None:
    desk.log(hand_works(), "<0.05", "李四")
    topic, message = log.taken[0]
    catalog = SeriesCatalog()
    decoder = Decoder(
        PointDirectory([hand_works()]), catalog, load_standards().parameters, earliest_ms=0, future_tolerance_ms=300_000
    )
    subject = f"part.0.wq.{'.'.join(topic)}"
    decoded = decoder.decode([LogMessage(1, NOW, subject, json.dumps(message).encode())])
    assert decoded.quarantined == []
    assert list(catalog) == [SeriesKey("520425", "W0001", "outlet", "free_chlorine")]
    # Less than 0.05 was there: it is judged at 0.05, the floor.
    assert decoded.batch.value.tolist() == [0.05]
    assert message["hand"] == {"method": "dpd_colour", "person": "李四", "qualifier": "<"}


def test_the_same_minute_again_is_told_and_goes_nowhere(desk: Desk, log: Log) -> None:
    desk.log(hand_works(), "0.35", "李四")
    assert desk.log(hand_works(), "0.45", "李四") == [HandFault("observed_at", "taken")]
    assert len(log.taken) == 1


def test_while_the_log_is_down_people_log_on_and_it_is_sent_later(desk: Desk, log: Log, engine: Engine) -> None:
    log.is_down = True
    assert isinstance(desk.log(hand_works(), "0.35", "李四"), HandMeasurement)
    with reading(engine) as connection:
        assert len(unlogged_measurements(connection)) == 1
    log.is_down = False
    assert desk.send_unlogged() == 1
    assert desk.send_unlogged() == 0
    assert len(log.taken) == 1


def test_a_check_of_an_instrument_is_kept_but_is_no_reading(desk: Desk, log: Log) -> None:
    measured = desk.log(example_works("W0002"), "0.35", "李四")
    assert isinstance(measured, HandMeasurement)
    assert log.taken == []


@pytest.mark.parametrize(
    ("entry", "faults"),
    [
        ({"value": ""}, {("value", "empty")}),
        ({"value": "0.3 mg/L"}, {("value", "not_a_residual")}),
        ({"value": "-0.1"}, {("value", "not_a_residual")}),
        ({"value": "99"}, {("value", "not_a_residual")}),
        ({"value": "nan"}, {("value", "not_a_residual")}),
        ({"person": "  "}, {("person", "empty")}),
        ({"point": "tap9"}, {("point", "unknown")}),
        ({"method": "taste"}, {("method", "unknown")}),
        ({"observed_at": "yesterday"}, {("observed_at", "not_a_time")}),
        ({"observed_at": NOW + 60_000}, {("observed_at", "in_the_future")}),
        ({"observed_at": "2025-01-01T08:00"}, {("observed_at", "too_old")}),
        ({"value": "", "person": "", "observed_at": "x"}, {("value", "empty"), ("person", "empty"), ("observed_at", "not_a_time")}),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_with_everything_wrong_in_it(
    desk: Desk, log: Log, entry: dict[str, str], faults: set[tuple[str, str]]
) -> None:
    given = {"value": "0.35", "person": "李四"} | entry
    outcome = desk.log(hand_works(), given.pop("value"), given.pop("person"), **given)
    assert isinstance(outcome, list)
    assert {(fault.field, fault.word) for fault in outcome} == faults
    assert log.taken == []


def test_a_works_without_a_residual_cannot_be_logged(desk: Desk) -> None:
    uv = hand_works("W0003", disinfectant=Disinfectant.UV)
    assert desk.log(uv, "0.3", "李四") == [HandFault("works", "no_residual")]


def sheet(rows: list[list[object]]) -> bytes:
    memory = io.BytesIO()
    with xlsxwriter.Workbook(memory) as book:
        page = book.add_worksheet("余量检测记录")
        for number, row in enumerate([["工程编码", "检测时间", "余氯(mg/L)", "检测方法", "检测人"], *rows]):
            for column, cell in enumerate(row):
                page.write(number, column, cell)
    return memory.getvalue()


def test_a_sheet_is_taken_row_by_row_and_wrong_cells_are_named(desk: Desk, log: Log) -> None:
    content = sheet(
        [
            ["W0001", "2026-05-28 08:00", 0.35, "DPD比色", "李四"],
            ["W0001", "2026-05-28 18:00", "<0.05", "", "李四"],
            ["W0001", "2026-05-28 18:00", 0.4, "", "李四"],
            ["W9999", "2026-05-28 08:00", 0.35, "", "李四"],
            ["W0001", "昨天", "多", "品尝", ""],
            ["W0001", "2026-06-28 08:00", 0.3, "", "李四"],
            ["W0003", "2026-05-28 08:00", 0.3, "", "李四"],
        ]
    )
    report = desk.import_log("log.xlsx", content, "站长")
    assert (report.rows, report.taken, report.known) == (7, 2, 0)
    assert [message["v"] for _, message in log.taken] == [{"free_chlorine": 0.35}, {"free_chlorine": 0.05}]
    cells = [refusal.split(":")[0] for refusal in report.refusals]
    assert cells == [
        "余量检测记录!B4", "余量检测记录!A5", "余量检测记录!B6", "余量检测记录!C6", "余量检测记录!D6", "余量检测记录!E6",
        "余量检测记录!B7", "余量检测记录!A8",
    ]  # fmt: skip
    again = desk.import_log("log.xlsx", content, "站长")
    assert (again.taken, again.known) == (0, 2)
    assert len(log.taken) == 2


def test_what_is_no_sheet_is_refused_as_a_whole(desk: Desk) -> None:
    report = desk.import_log("log.xlsx", b"\x00\x01", "站长")
    assert (report.rows, report.taken) == (0, 0)
    assert len(report.refusals) == 1


def test_the_template_can_be_filled_in_and_read_back(desk: Desk) -> None:
    report = desk.import_log("t.xlsx", desk.template(), "站长")
    # Two hand-logged works are prefilled; what is to be filled in is asked for cell by cell.
    assert (report.rows, report.taken) == (2, 0)
    assert all("不能为空" in one or "必填" in one or "没有余量可测" in one for one in report.refusals)


def test_facts_are_replaced_as_a_whole(desk: Desk) -> None:
    facts = DisinfectionFacts(
        giardia_log=3.0, tank_volume_l=200.0, network_end_hours=12.0,
        segments=(Segment("清水池", 100.0, 0.5, 20.0), Segment("管道", 5.0, 1.0, 20.0)),
        deliveries=(Delivery(NOW - 1000, 100.0, 200.0),),
    )  # fmt: skip
    desk.save_facts("520425", "W0001", facts, "站长")
    assert desk.facts("520425", "W0001") == facts
    desk.save_facts("520425", "W0001", DisinfectionFacts(virus_log=4.0), "站长")
    assert desk.facts("520425", "W0001") == DisinfectionFacts(virus_log=4.0)
    with pytest.raises(NotFound):
        desk.save_facts("520425", "W7777", facts, "站长")


def test_two_phones_at_once_log_one_measurement_of_a_minute(desk: Desk, log: Log) -> None:
    outcomes: list[object] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(desk.log(hand_works(), "0.3", "李四"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, HandMeasurement) for one in outcomes) == 1
    assert {message["t"] for _, message in log.taken} == {NOW // 60_000 * 60_000}
