"""The evaluator's folds: snapshots that are whole or not used, a register that changes, findings nobody may leave open."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import Works
from qingquan.services.folds import Folds, Tables
from qingquan.services.lasting import reconciled
from qingquan.services.snapshots import FileSnapshots
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, default_ruleset, make_works

STANDARDS = load_standards()
LOW = FindingKind.DISINFECTION_LOW
A, B = make_works("A"), make_works("B")


class Bench:
    """Folds over a catalog of their own; sequence n carries minute n."""

    def __init__(self, *works: Works, partitions: int = 4) -> None:
        self.catalog = SeriesCatalog()
        tables = Tables(STANDARDS.parameters, STANDARDS.limits, default_ruleset())
        self.folds = Folds(tables, partitions, self.catalog, "zh")
        self.folds.register(works)

    def feed(self, minutes: range, works: str = "AB", **values: float) -> list[Finding]:
        findings = []
        for m in minutes:
            shown = {"free_chlorine": 0.6, "flow": 8.0} | values
            keys = [SeriesKey("520425", name, "outlet", parameter) for name in works for parameter in shown]
            n = len(keys)
            batch = ReadingBatch(
                np.array([self.catalog.index(key) for key in keys], np.int32), np.full(n, START + m * MINUTE),
                np.array([shown[key.parameter] for key in keys]), np.full(n, 2, np.uint8), np.full(n, m + 1), np.full(n, 0),
            )  # fmt: skip
            findings += self.folds.take(batch, m + 1, START + m * MINUTE)
        return findings


def lows(findings: list[Finding]) -> set[tuple[str, int, int | None]]:
    return {(one.works, one.start, one.end) for one in findings if one.kind is LOW}


@pytest.fixture
def snapshots(tmp_path: Path) -> FileSnapshots:
    return FileSnapshots(tmp_path)


def test_a_snapshot_goes_on_where_it_was_taken(snapshots: FileSnapshots) -> None:
    first = Bench(A, B)
    first.feed(range(20), free_chlorine=0.2)
    first.folds.save(snapshots)
    second = Bench(A, B)
    assert second.folds.restore(snapshots, applied=20) == 20
    assert lows(second.feed(range(20, 31), free_chlorine=0.2)) == {("A", START, None), ("B", START, None)}


def test_what_a_snapshot_covers_is_not_judged_again(snapshots: FileSnapshots) -> None:
    first = Bench(A, B)
    first.feed(range(40), free_chlorine=0.2)
    first.folds.save(snapshots)
    second = Bench(A, B)
    second.folds.restore(snapshots, applied=40)
    assert second.feed(range(40), free_chlorine=0.2) == []
    assert second.folds.counts == {}


@pytest.mark.parametrize("between", [0, 1, 5])
def test_snapshots_taken_by_turns_go_on_each_where_it_was_taken(snapshots: FileSnapshots, between: int) -> None:
    """Partition by partition, with readings judged in between and the register changed within a round."""
    first, minutes, saved = Bench(A, B), 20, [0] * 4
    first.feed(range(minutes), free_chlorine=0.2)
    # Into the second round: some partitions were saved once, some twice.
    for turn in range(6):
        if turn == 2:
            first.folds.register([A, B, make_works("C")])
        assert first.folds.save_next(snapshots) == (turn == 3)
        saved[turn % 4] = minutes
        first.feed(range(minutes, minutes + between), free_chlorine=0.2)
        minutes += between
    second = Bench(A, B, make_works("C"))
    assert second.folds.restore(snapshots, applied=minutes) == min(saved)
    assert [fold.covered for fold in second.folds.folds] == saved
    found = lows(first.feed(range(minutes, 60), free_chlorine=0.2))
    again = lows(second.feed(range(min(saved), 60), free_chlorine=0.2))
    assert found <= again <= found | {("A", START, None), ("B", START, None)}
    for one, other in zip(first.folds.folds, second.folds.folds, strict=True):
        assert one.state.series[0].tobytes() == other.state.series[0].tobytes()
        assert one.state.works.tobytes() == other.state.works.tobytes()


def test_a_snapshot_of_another_register_keeps_what_both_know(snapshots: FileSnapshots) -> None:
    first = Bench(A, B)
    first.feed(range(20), free_chlorine=0.2)
    first.folds.save(snapshots)
    second = Bench(make_works("A", ("free_chlorine", "flow", "ph")), make_works("C"))
    assert second.folds.restore(snapshots, applied=20) == 20
    assert lows(second.feed(range(20, 31), "A", free_chlorine=0.2)) == {("A", START, None)}


def test_series_sent_unasked_are_part_of_the_snapshot(snapshots: FileSnapshots) -> None:
    bare = make_works("A", ("flow",))
    first = Bench(bare)
    first.feed(range(20), "A", free_chlorine=0.2)
    first.folds.save(snapshots)
    second = Bench(bare)
    second.folds.restore(snapshots, applied=20)
    assert lows(second.feed(range(20, 31), "A", free_chlorine=0.2)) == {("A", START, None)}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "another version", "no layout", "layout cut"])
def test_a_snapshot_that_cannot_be_trusted_is_rebuilt_from_the_log(tmp_path: Path, damage: str) -> None:
    first = Bench(A, B, partitions=1)
    first.feed(range(20), free_chlorine=0.2)
    first.folds.save(FileSnapshots(tmp_path))
    spoil(tmp_path, damage)
    second = Bench(A, B, partitions=1)
    assert second.folds.restore(FileSnapshots(tmp_path), applied=20) == 0
    assert lows(second.feed(range(31), free_chlorine=0.2)) == {("A", START, None), ("B", START, None)}


def spoil(folder: Path, damage: str) -> None:
    from hashlib import blake2b

    path = folder / "partition-0.snapshot"
    raw = path.read_bytes()
    (layout,) = folder.glob("layout-*")

    def signed(body: bytes) -> bytes:
        return blake2b(body, digest_size=16).digest() + body

    if damage == "cut":
        path.write_bytes(raw[:-100])
    elif damage == "flipped":
        path.write_bytes(raw[:500] + bytes([raw[500] ^ 1]) + raw[501:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(signed(msgspec.msgpack.encode({"what": "else"})))
    elif damage == "another version":
        path.write_bytes(signed(msgspec.msgpack.encode([999, 1])))
    elif damage == "no layout":
        layout.unlink()
    else:
        layout.write_bytes(layout.read_bytes()[:-10])


def test_a_snapshot_ahead_of_the_database_is_of_another_database(snapshots: FileSnapshots) -> None:
    first = Bench(A, B)
    first.feed(range(20), free_chlorine=0.2)
    first.folds.save(snapshots)
    assert Bench(A, B).folds.restore(snapshots, applied=19) == 0


def test_layouts_of_former_plans_are_removed(tmp_path: Path) -> None:
    bench = Bench(A, partitions=1)
    bench.folds.save(FileSnapshots(tmp_path))
    bench.folds.register([A, B])
    bench.folds.save(FileSnapshots(tmp_path))
    (layout,) = tmp_path.glob("layout-*")
    assert layout.name == f"layout-{bench.folds.folds[0].plan.digest}"
    assert not list(tmp_path.glob("*.new"))


def test_a_changed_name_reaches_the_fold_although_its_arrays_stay() -> None:
    bench = Bench(A, partitions=1)
    bench.feed(range(10), "A", free_chlorine=0.2)
    bench.folds.register([replace(A, name="新名"), B])
    assert bench.folds.folds[0].plan.works[0].name == "新名"
    bench.folds.register([replace(A, name="又名"), B])
    assert bench.folds.folds[0].plan.works[0].name == "又名"
    assert lows(bench.feed(range(10, 31), "A", free_chlorine=0.2)) == {("A", START, None)}


def test_what_is_expected_follows_the_register_at_once() -> None:
    bench = Bench(make_works("A", ("free_chlorine", "flow")), partitions=1)
    bench.feed(range(3), "A")
    bench.folds.register([make_works("A", ("flow",))])
    plan = bench.folds.folds[0].plan
    expected = {key.parameter for key, is_expected in zip(plan.series, plan.expected, strict=True) if is_expected}
    assert expected == {"flow"}
    assert len(plan.series) == 2


def test_partitions_judge_the_same_as_one_fold_does() -> None:
    works = [make_works(name) for name in "ABCDEFGH"]
    told = []
    for partitions in (1, 4, 8):
        bench = Bench(*works, partitions=partitions)
        said = bench.feed(range(40), "ABCDEFGH", free_chlorine=0.2) + bench.feed(range(40, 60), "ABCDEFGH")
        told.append(sorted((one.id, one.end or 0) for one in said))
    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 16


def open_low(bench: Bench, works: str = "A", minutes: int = 31) -> Finding:
    (low,) = [one for one in bench.feed(range(minutes), works, free_chlorine=0.2) if one.kind is LOW]
    return low


def test_open_findings_both_sides_know_are_left_alone() -> None:
    bench = Bench(A, B)
    low = open_low(bench)
    assert reconciled(bench.folds.folds, [low]) == []
    assert lows(bench.feed(range(31, 60), "A")) == {("A", START, START + 31 * MINUTE)}


@pytest.mark.parametrize(
    "register", [[B], [replace(A, points=()), B], [make_works("A", points=make_works("A").points[:0]), B]]
)
def test_a_finding_of_what_left_the_register_is_withdrawn(register: list[Works]) -> None:
    bench = Bench(A, B)
    low = open_low(bench)
    bench.folds.register(register)
    (gone,) = reconciled(bench.folds.folds, [low])
    assert (gone.id, gone.withdrawn, gone.end) == (low.id, True, low.evidence_at)


def test_a_finding_of_a_rule_that_is_no_more_is_withdrawn() -> None:
    bench = Bench(A)
    (gone,) = reconciled(bench.folds.folds, [replace(open_low(bench), rule="house-rule-of-old")])
    assert gone.withdrawn


def test_a_finding_older_than_the_log_lasts_on_until_readings_end_it() -> None:
    low = open_low(Bench(A, B))
    late = Bench(A, B)
    late.feed(range(100, 105), "A")
    assert reconciled(late.folds.folds, [low]) == []
    assert lows(late.feed(range(105, 130), "A")) == {("A", START, START + 105 * MINUTE)}


def test_a_finding_the_rebuilt_state_dates_later_is_the_older_one() -> None:
    low = open_low(Bench(A, B))
    late = Bench(A, B)
    late.feed(range(100, 140), "A", free_chlorine=0.2)
    assert reconciled(late.folds.folds, [low]) == []
    assert lows(late.feed(range(140, 160), "A")) == {("A", START, START + 140 * MINUTE)}


def test_of_two_open_findings_of_one_condition_the_younger_is_withdrawn() -> None:
    bench = Bench(A, B)
    low = open_low(bench)
    younger = replace(low, id="younger", start=START + 5 * MINUTE)
    (gone,) = reconciled(bench.folds.folds, [younger])
    assert (gone.id, gone.withdrawn) == ("younger", True)
