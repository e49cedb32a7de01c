"""A laboratory's sheets from upload to verdict, incident, message and recovery, on both databases."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient
from xlsxwriter import Workbook

from dashboards.web.api import build_api
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from dashboards.web.store_data import StoreData
from ingest.lab.columns import COLUMNS, title
from ingest.lab.template import template_workbook
from qingquan.config import Config
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, Message
from qingquan.domain.lab import LabReport, LabVerdict
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint
from qingquan.errors import StoreUnavailable, WrongUse
from qingquan.services.lab_upload import import_file, make_uploader, report_lines
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import events_of, list_incidents
from qingquan.store.sql.lab import list_samples
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import example_works
from qingquan.testing.databases import current_sqlite, engine

__all__ = ["engine"]

CHINA = ZoneInfo("Asia/Shanghai")
TODAY = datetime.now(UTC).astimezone(CHINA)
FIELDS = [column.field for column in COLUMNS]
WORKS = example_works(
    points=(
        SamplingPoint("source", PointKind.SOURCE, "水源"),
        SamplingPoint("outlet", PointKind.OUTLET, "出厂水"),
        SamplingPoint("end", PointKind.NETWORK_END, "管网末梢"),
    )
)
OTHER = example_works("W0078", name="甘泉水厂", disinfectant=Disinfectant.CHLORINE_DIOXIDE, source_limited=True)


def days_ago(days: int) -> str:
    at = datetime.fromtimestamp(TODAY.timestamp() - days * 86_400, CHINA)
    return at.strftime("%Y-%m-%d 08:30")


def row(
    number: str,
    parameter: str,
    value: str | float,
    unit: str = "mg/L",
    *,
    days: int = 5,
    point: str = "outlet",
    **more: Any,
) -> list[Any]:
    """Cells of a result in the order of the template's columns."""
    cells: dict[str, Any] = {
        "number": number, "works": "W0077", "point": point, "sampled_at": days_ago(days), "parameter": parameter,
        "value": value, "unit": unit, "laboratory": "县水质检测中心", **more,
    }  # fmt: skip
    return [cells.get(field, "") for field in FIELDS]


def sheet(*rows: list[Any]) -> bytes:
    return template_workbook(rows=rows)


@pytest.fixture
def desk(engine: Engine) -> "Desk":
    with writing(engine) as connection:
        save_works(connection, [WORKS, OTHER])
    return Desk(engine, Config(database_url=engine.url.render_as_string(hide_password=False)))


class Desk:
    """What a laboratory does and a duty officer sees."""

    def __init__(self, opened: Engine, config: Config) -> None:
        self.engine = opened
        self.config = config
        self.uploader = make_uploader(opened, config)

    def upload(self, *rows: list[Any], name: str = "结果.xlsx") -> LabReport:
        return self.uploader(name, sheet(*rows), "检测员")

    @property
    def incidents(self) -> list[Incident]:
        with reading(self.engine) as connection:
            return list(list_incidents(connection, limit=200).items)

    @property
    def messages(self) -> list[Message]:
        with reading(self.engine) as connection:
            return list(list_messages(connection, limit=500).items)

    def state(self, cause: str) -> str:
        return next(incident.state.value for incident in self.incidents if incident.summary["cause"] == cause)

    @property
    def everything(self) -> tuple[Any, ...]:
        """All that an upload could have changed."""
        with reading(self.engine) as connection:
            findings = list(list_findings(connection, limit=500).items)
            samples = list(list_samples(connection, limit=500).items)
            events = [events_of(connection, incident.id) for incident in self.incidents]
        return samples, findings, self.incidents, events, self.messages


def verdicts(report: LabReport) -> dict[tuple[str, str], str]:
    return {
        (sample.number, result.parameter): result.verdict.value
        for sample in report.samples
        for result in sample.results
    }


def test_a_sheet_with_all_sorts_of_rows_is_taken_row_by_row(desk: Desk) -> None:
    report = desk.upload(
        row("S1", "总大肠菌群", "未检出", "MPN/100mL"),
        row("S1", "浑浊度", 0.62, "NTU"),
        row("S1", "砷", "<0.001", detection_limit="0.001"),
        row("S1", "镉", "未检出", detection_limit="0.05"),
        row("S1", "铅", "0.012"),
        row("S1", "氡", "1"),
        row("S1", "铁", "约0.1"),
        row("S2", "大肠埃希氏菌", 3, "CFU/100mL", point="end"),
        row("S2", "游离氯", "0.02", point="end"),
        row("S2", "锰", "0.05", "NTU", point="end"),
        row("S3", "浑浊度", 12, "NTU", point="source"),
        row("S4", "铁", "0.1", works="W9999"),
        row("S5", "浑浊度", "2.5", "NTU", works="W0078"),
        row("S5", "二氧化氯", "0.05", works="W0078"),
    )
    assert verdicts(report) == {
        ("S1", "total_coliforms"): "compliant", ("S1", "turbidity"): "compliant", ("S1", "arsenic"): "compliant",
        ("S1", "cadmium"): "undecided", ("S1", "lead"): "exceeded",
        ("S2", "escherichia_coli"): "exceeded", ("S2", "free_chlorine"): "exceeded",
        ("S3", "turbidity"): "not_judged", ("S5", "turbidity"): "compliant", ("S5", "chlorine_dioxide"): "exceeded",
    }  # fmt: skip
    assert [(item.reason, item.cell) for item in report.refusals] == [
        ("unknown_parameter", "F7"),
        ("bad_value", "G8"),
        ("unknown_unit", "H11"),
        ("unknown_works", "C13"),
    ]
    by_parameter = {(s.number, r.parameter): r for s in report.samples for r in s.results}
    relaxed = by_parameter["S5", "turbidity"]
    assert (relaxed.limit, relaxed.limit_id) == ("≤ 3 NTU", "gb5749-2022.turbidity.small")
    assert all(result.reason for result in by_parameter.values())
    with reading(desk.engine) as connection:
        stored = {sample.number: sample for sample in list_samples(connection).items}
        totals = counts(connection)
    assert {sample.number: sample for sample in report.samples} == stored
    assert report.sample_ids == tuple(sample.id for sample in report.samples)
    assert (totals["lab_samples"], totals["lab_results"], totals["lab_refused"]) == (4, 10, 4)


def test_exceedances_become_incidents_and_messages_in_the_same_transaction(desk: Desk) -> None:
    desk.upload(
        row("S1", "大肠埃希氏菌", 3, "CFU/100mL"), row("S1", "硝酸盐(以N计)", "12.5"), row("S1", "砷", "0.011"),
        row("S1", "镉", "未检出", detection_limit="0.05"),
    )  # fmt: skip
    found = {incident.summary["cause"]: incident for incident in desk.incidents}
    assert {cause: incident.severity for cause, incident in found.items()} == {
        "lab:escherichia_coli": Severity.CRITICAL,
        "lab:nitrate_n": Severity.MAJOR,
        "lab:arsenic": Severity.MINOR,
    }
    assert {incident.kind for incident in found.values()} == {FindingKind.LAB_EXCEEDANCE}
    bodies = {message.body for message in desk.messages if message.channel == "wecom_robot"}
    assert any("出厂水化验检出大肠埃希氏菌3CFU/100mL" in body and "GB 5749-2022 表1" in body for body in bodies)
    assert any("出厂水化验硝酸盐(以N计)12.5mg/L，高于限值10mg/L" in body and "婴幼儿" in body for body in bodies)
    assert not any("已持续" in body for body in bodies)
    told = {(m.receiver_name, m.incident_id) for m in desk.messages if m.channel == "aliyun_sms"}
    assert told == {
        ("张三", found["lab:escherichia_coli"].id),
        ("李四", found["lab:escherichia_coli"].id),
        ("张三", found["lab:nitrate_n"].id),
    }


def test_the_same_file_again_is_refused_in_one_line_and_changes_nothing(desk: Desk) -> None:
    content = sheet(row("S1", "砷", "0.02"), row("S1", "铅", "0.001"))
    desk.uploader("结果.xlsx", content, "检测员")
    before = desk.everything
    again = desk.uploader("换个名字.xlsx", content, "检测员")
    assert (again.samples, [(item.reason, item.value) for item in again.refusals]) == ((), [("file_taken", "2")])
    assert desk.everything == before


def test_a_result_again_is_refused_by_its_cell_and_a_mended_row_joins_its_sample(desk: Desk) -> None:
    first = desk.upload(row("S1", "砷", "0.02"), row("S1", "铅", "O.02"))
    assert [item.reason for item in first.refusals] == ["bad_value"]
    second = desk.upload(row("S1", "砷", "0.001"), row("S1", "铅", "0.02"))
    assert [(item.reason, item.cell) for item in second.refusals] == [("result_taken", "F2")]
    assert (verdicts(second), second.sample_ids) == ({("S1", "lead"): "exceeded"}, first.sample_ids)
    with reading(desk.engine) as connection:
        (stored,) = list_samples(connection).items
    assert [(result.parameter, result.value) for result in stored.results] == [("arsenic", 0.02), ("lead", 0.02)]


def test_a_number_cannot_name_another_bottle(desk: Desk) -> None:
    desk.upload(row("S1", "砷", "0.02"))
    again = desk.upload(row("S1", "砷", "0.001", days=2))
    assert (again.samples, [(item.reason, item.cell) for item in again.refusals]) == ((), [("number_taken", "A2")])
    assert desk.state("lab:arsenic") == "open"


def test_only_a_later_compliant_result_of_the_same_point_resolves(desk: Desk) -> None:
    desk.upload(row("S1", "总大肠菌群", 12, "CFU/100mL"))
    desk.upload(row("S2", "总大肠菌群", "未检出", "CFU/100mL", days=4, point="end"))
    desk.upload(row("S3", "总大肠菌群", "<10", "CFU/100mL", days=4))
    desk.upload(row("S4", "总大肠菌群", "未检出", "CFU/100mL", days=6))
    assert desk.state("lab:total_coliforms") == "open"
    desk.upload(row("S5", "总大肠菌群", "未检出", "CFU/100mL", days=3))
    assert desk.state("lab:total_coliforms") == "resolved"
    with reading(desk.engine) as connection:
        (finding,) = list_findings(connection, kinds=[FindingKind.LAB_EXCEEDANCE]).items
    assert (finding.end, finding.evidence["ended_by_sample"]) == (finding.start + 2 * 86_400_000, "S5")


def test_an_exceedance_known_to_be_over_wakes_nobody(desk: Desk) -> None:
    desk.upload(row("S2", "总大肠菌群", "未检出", "CFU/100mL", days=3))
    desk.upload(row("S1", "总大肠菌群", 12, "CFU/100mL", days=5))
    assert desk.state("lab:total_coliforms") == "resolved"
    assert desk.messages == []


def test_uploads_in_any_order_leave_the_same_findings(desk: Desk, tmp_path: Path) -> None:
    sheets = [
        sheet(row("S1", "砷", "0.02", days=9)), sheet(row("S2", "砷", "0.03", days=8)),
        sheet(row("S3", "砷", "0.001", days=7)), sheet(row("S4", "砷", "0.015", days=6)),
    ]  # fmt: skip
    for content in sheets:
        desk.uploader("a.xlsx", content, "检测员")
    config = Config(database_url=current_sqlite(tmp_path / "other.db"))
    with opened(config) as other:
        with writing(other) as connection:
            save_works(connection, [WORKS, OTHER])
        backwards = make_uploader(other, config)
        for content in reversed(sheets):
            backwards("a.xlsx", content, "检测员")
        assert spans(other) == spans(desk.engine)
    assert desk.state("lab:arsenic") == "open"


@contextmanager
def opened(config: Config) -> Iterator[Engine]:
    engine = open_database(config.sql_url)
    yield engine
    engine.dispose()


def spans(engine: Engine) -> list[tuple[str, int, int | None, float | None]]:
    with reading(engine) as connection:
        return [(one.id, one.start, one.end, one.extreme) for one in list_findings(connection, limit=100).items]


def test_results_of_long_ago_are_recorded_and_told_nobody(desk: Desk) -> None:
    desk.upload(row("S1", "总大肠菌群", 12, "CFU/100mL", days=400))
    (incident,) = desk.incidents
    assert (incident.late, incident.state, desk.messages) == (True, IncidentState.OPEN, [])


def test_four_trihalomethanes_are_judged_by_their_sum_too(desk: Desk) -> None:
    names = ("三氯甲烷", "一氯二溴甲烷", "二氯一溴甲烷", "三溴甲烷")
    desk.upload(*(row("S1", name, "0.05") for name in names[:3]))
    report = desk.upload(row("S1", names[3], "0.05"))
    assert verdicts(report)[("S1", "trihalomethanes_ratio")] == "exceeded"
    with reading(desk.engine) as connection:
        (stored,) = list_samples(connection).items
    assert len(stored.results) == 5
    assert desk.state("lab:trihalomethanes_ratio") == "open"


def test_the_api_takes_a_sheet_and_lists_what_it_held(desk: Desk) -> None:
    data = StoreData(desk.engine, MemorySeriesStore(), lambda: 0)
    clock = desk.config.clock
    api = TestClient(build_api(Console(data, ConsoleActions(upload=desk.uploader), clock, CountyFeed(data, clock))))
    files = {"file": ("结果.xlsx", sheet(row("S1", "砷", "0.02"), row("S1", "铅", "?")))}
    body = api.post("/v1/lab/samples", files=files, data={"uploader": "检测员"}).json()
    (result,) = body["samples"][0]["results"]
    assert (result["verdict"], result["limit_id"]) == ("exceeded", "gb5749-2022.arsenic")
    assert result["reason"] == "0.02 mg/L，高于限值0.01 mg/L（GB 5749-2022 表1）"
    assert [(item["cell"], item["reason"]) for item in body["refusals"]] == [("G3", "bad_value")]
    (listed,) = api.get("/v1/lab/samples").json()["items"]
    assert (listed["id"], listed["results"]) == (body["sample_ids"][0], [result])
    (incident,) = api.get("/v1/incidents").json()["items"]
    assert incident["kind"] == "lab_exceedance"


def merged_header() -> bytes:
    stream = io.BytesIO()
    with Workbook(stream, {"in_memory": True}) as book:
        page = book.add_worksheet("结果")
        page.merge_range(0, 0, 0, 1, "样品编号")
        page.write_row(0, 2, [title(field, "zh") for field in FIELDS[2:]])
        page.write_row(1, 0, row("S1", "砷", "0.02"))
    return stream.getvalue()


WHOLE = sheet(row("S1", "砷", "0.02"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        ("这不是表格\n只是一封信".encode(), "missing_columns"),
        (b"%PDF-1.7\n%\xe2\xe3", "wrong_file_type"),
        (b"\x00\x01\x02" * 100, "wrong_file_type"),
        (WHOLE[: len(WHOLE) // 2], "damaged_file"),
        (merged_header(), "merged_header"),
        (template_workbook(), "no_rows"),
        (template_workbook("en"), "no_rows"),
    ],
)
def test_a_file_that_is_no_sheet_is_a_refusal_and_never_an_error(tmp_path: Path, content: bytes, reason: str) -> None:
    config = Config(database_url=current_sqlite(tmp_path / "lab.db"))
    with opened(config) as engine:
        report = make_uploader(engine, config)("结果.xlsx", content, "检测员")
        assert report.samples == ()
        assert reason in {item.reason for item in report.refusals}
        with reading(engine) as connection:
            assert counts(connection)["lab_refused"] == len(report.refusals)


def test_a_damaged_workbook_never_raises(tmp_path: Path) -> None:
    config = Config(database_url=current_sqlite(tmp_path / "lab.db"))
    with opened(config) as engine:
        upload = make_uploader(engine, config)
        for place in range(0, len(WHOLE), max(1, len(WHOLE) // 40)):
            broken = WHOLE[:place] + bytes([WHOLE[place] ^ 0xFF]) + WHOLE[place + 1 :]
            report = upload("结果.xlsx", broken, "检测员")
            assert report.refusals or report.samples


def test_sheets_uploaded_at_once_are_each_taken_once(desk: Desk) -> None:
    content = sheet(row("S1", "砷", "0.02"), row("S2", "铅", "0.001", days=4))
    reports: list[LabReport] = []
    threads = [Thread(target=lambda: reports.append(desk.uploader("a.xlsx", content, "检测员"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(report.samples) for report in reports) == [0, 0, 0, 2]
    assert len(desk.incidents) == 1
    with reading(desk.engine) as connection:
        assert sorted(len(sample.results) for sample in list_samples(connection).items) == [1, 1]


def test_what_fails_in_the_middle_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr("qingquan.services.lab_upload.add_counts", lost)
    before = desk.everything
    with pytest.raises(StoreUnavailable):
        desk.upload(row("S1", "砷", "0.02"))
    assert desk.everything == before
    monkeypatch.undo()
    assert desk.upload(row("S1", "砷", "0.02")).sample_ids


def test_the_command_prints_what_became_of_the_file_and_its_status_says_whether_all_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(database_url=current_sqlite(tmp_path / "lab.db"))
    with opened(config) as engine, writing(engine) as connection:
        save_works(connection, [WORKS])
    good, bad = tmp_path / "good.xlsx", tmp_path / "bad.xlsx"
    good.write_bytes(sheet(row("S1", "砷", "0.02")))
    bad.write_bytes(sheet(row("S2", "砷", "?"), row("S2", "铅", "0.001")))
    assert import_file(good, "检测员", config) == 0
    assert "超标 S1 W0077/outlet 砷: 0.02 mg/L，高于限值0.01 mg/L" in capsys.readouterr().out
    assert import_file(bad, "检测员", config) == 1
    assert "检测结果!G2: 结果“?”不是数值" in capsys.readouterr().out
    with pytest.raises(WrongUse, match=r"nowhere\.xlsx"):
        import_file(tmp_path / "nowhere.xlsx", "检测员", config)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_report_is_in_the_language_of_the_reader(tmp_path: Path, language: str) -> None:
    config = Config(database_url=current_sqlite(tmp_path / "lab.db"), language=language)
    with opened(config) as engine:
        with writing(engine) as connection:
            save_works(connection, [WORKS])
        report = make_uploader(engine, config)("a.xlsx", sheet(row("S1", "砷", "0.02"), row("S1", "铅", "")), "lab")
    lines: Sequence[str] = report_lines(report, language)
    assert len(lines) == 3
    assert report.results[0].verdict is LabVerdict.EXCEEDED
    assert ("above the limit" in lines[1]) == (language == "en")
