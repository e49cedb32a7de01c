"""Lab samples and quarantined items come back from every database as they were given."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from qingquan.domain.lab import LabOperator, LabResult, LabSample, LabVerdict
from qingquan.domain.readings import Quarantined, QuarantineReason
from qingquan.store.sql import lab, quarantine
from qingquan.store.sql.engine import writing
from qingquan.testing.databases import engine

__all__ = ["engine"]

T0 = 1_777_600_000_000
DAY = 86_400_000


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with writing(engine) as opened:
        yield opened


def a_result(parameter: str = "turbidity", **changes: Any) -> LabResult:
    made = LabResult(
        parameter=parameter, operator=LabOperator.LESS, value=0.05, detection_limit=0.05, unit="mg/L", canonical_value=0.05,
        method="GB/T 5750.4-2023", verdict=LabVerdict.COMPLIANT, limit="≤ 1 NTU", limit_id="gb5749-2022.turbidity",
        clause="Table 1", row=7, value_text="<0.05", analysed_at=T0 + 1000,
    )  # fmt: skip
    return replace(made, **changes)


def a_sample(number: str = "2026-0001", **changes: Any) -> LabSample:
    made = LabSample(
        id=0, number=number, county="520425", works="W0001", point="end1", sampled_at=T0, uploaded_at=T0 + DAY,
        uploaded_by="王工", laboratory="紫云县疾控中心", source_file="五月.xlsx", results=(a_result(), a_result("ph")),
        source_digest="ab" * 32,
    )  # fmt: skip
    return replace(made, **changes)


def an_item(sequence: int = 1, position: str = "", **changes: Any) -> Quarantined:
    payload = b'{"t": 1, "v": {"\x00\xff"'
    made = Quarantined(
        QuarantineReason.BAD_JSON, "not JSON at byte 15", sequence, T0 + sequence, "part.3.wq.520425.W0001.outlet.json",
        position, payload, sha256(payload).hexdigest(),
    )  # fmt: skip
    return replace(made, **changes)


def test_a_sample_comes_back_as_the_laboratory_wrote_it(connection: Connection) -> None:
    (stored,) = lab.save_samples(connection, [a_sample()])
    assert stored == replace(a_sample(), id=stored.id)
    assert lab.get_sample(connection, stored.id) == stored
    assert lab.get_sample(connection, stored.id + 1) is None


def test_a_not_detected_result_stays_without_a_number(connection: Connection) -> None:
    absent = a_result(operator=LabOperator.NOT_DETECTED, value=None, canonical_value=None, value_text="未检出")
    (stored,) = lab.save_samples(connection, [a_sample(results=(absent,))])
    held = lab.get_sample(connection, stored.id)
    assert held is not None
    assert held.results == (absent,)


def test_a_sample_number_is_never_overwritten(connection: Connection) -> None:
    (first,) = lab.save_samples(connection, [a_sample()])
    again = [a_sample(works="W0009"), a_sample("2026-0002"), a_sample(county="520502")]
    assert [sample.number for sample in lab.save_samples(connection, again)] == ["2026-0002", "2026-0001"]
    assert lab.get_sample(connection, first.id) == first
    assert lab.taken_numbers(connection, "520425", ["2026-0001", "2026-0003"]) == {"2026-0001"}
    assert len(lab.save_samples(connection, [a_sample(version=2)])) == 1


def test_samples_are_listed_newest_upload_first_and_filtered(connection: Connection) -> None:
    bad = a_result(verdict=LabVerdict.EXCEEDED)
    given = [
        a_sample("a"),
        a_sample("b", uploaded_at=T0 + 2 * DAY, results=(bad, a_result("ph"))),
        a_sample("c", county="530101", works="W0002", point="outlet", sampled_at=T0 + DAY, results=()),
    ]
    a, b, c = lab.save_samples(connection, given)
    assert lab.list_samples(connection).items == [b, c, a]
    assert lab.list_samples(connection, county="52").items == [b, a]
    assert lab.list_samples(connection, works="W0002", point="outlet").items == [c]
    assert lab.list_samples(connection, verdicts=[LabVerdict.EXCEEDED], parameter="turbidity").items == [b]
    assert lab.list_samples(connection, verdicts=[LabVerdict.EXCEEDED], parameter="ph").items == []
    assert lab.list_samples(connection, from_ms=T0 + 1, to_ms=T0 + 2 * DAY).items == [c]
    page = lab.list_samples(connection, limit=1, offset=1)
    assert (page.items, page.total) == ([c], 3)


def test_an_item_is_quarantined_once_with_its_very_bytes(connection: Connection) -> None:
    items = [an_item(1), an_item(1, "[3].v.ph", reason=QuarantineReason.BAD_VALUE), an_item(2)]
    assert quarantine.insert_quarantined(connection, items) == 3
    assert quarantine.insert_quarantined(connection, [*items, an_item(3)]) == 1
    page = quarantine.list_quarantined(connection)
    assert [entry.item for entry in page] == [an_item(3), an_item(2), items[1], items[0]]
    assert quarantine.counts_by_reason(connection) == {"bad_json": 3, "bad_value": 1}


def test_quarantined_items_are_found_by_region_reason_and_time(connection: Connection) -> None:
    subjects = ("part.0.wq.520425.W0001.outlet.json", "part.0.wq.530101.W0002.x.json", "part.0.wq", "rubbish", "")
    quarantine.insert_quarantined(connection, [an_item(n, subject=subject) for n, subject in enumerate(subjects)])
    assert [e.item.sequence for e in quarantine.list_quarantined(connection, county="53")] == [1]
    assert [e.item.sequence for e in quarantine.list_quarantined(connection, works="W0001")] == [0]
    assert quarantine.counts_by_reason(connection, "5204") == {"bad_json": 1}
    assert quarantine.list_quarantined(connection, reasons=[QuarantineReason.BAD_TIME]).total == 0
    assert [e.item.sequence for e in quarantine.list_quarantined(connection, from_ms=T0 + 3)] == [4, 3]
    assert quarantine.list_quarantined(connection, to_ms=T0 + 3, limit=1).total == 3


def test_redriven_items_are_marked_once(connection: Connection) -> None:
    quarantine.insert_quarantined(connection, [an_item(1), an_item(2)])
    first = quarantine.list_quarantined(connection).items[1]
    assert quarantine.mark_redriven(connection, [first.id], T0 + DAY) == 1
    assert quarantine.mark_redriven(connection, [first.id], T0 + 2 * DAY) == 0
    assert quarantine.get_quarantined(connection, [first.id, 999]) == [replace(first, redriven_at=T0 + DAY)]
    assert [e.item.sequence for e in quarantine.list_quarantined(connection, is_redriven=False)] == [2]
    assert [e.item.sequence for e in quarantine.list_quarantined(connection, is_redriven=True)] == [1]


def test_what_a_device_or_a_laboratory_wrote_never_breaks_the_store(connection: Connection) -> None:
    letters = Random(1).choices("水厂abcdefghij", k=70_000)  # varied: PostgreSQL packs what repeats
    wild = "a\x00b\ud83d\u202e" + "".join(letters)
    quarantine.insert_quarantined(connection, [an_item(1, wild, detail=wild, subject=f"x.wq.{wild}.{wild}")])
    lab.save_samples(connection, [a_sample(wild, uploaded_by=wild, results=(a_result(unit=wild, value_text=wild),))])
    kept = "a␀b?\u202e" + "".join(letters)
    entry = quarantine.list_quarantined(connection)[0]
    assert entry.item.detail == kept
    assert entry.item.position.startswith(kept[:100])
    assert quarantine.insert_quarantined(connection, [an_item(1, wild), an_item(1, wild + "x")]) == 1
    assert lab.list_samples(connection)[0].results[0].value_text == kept
