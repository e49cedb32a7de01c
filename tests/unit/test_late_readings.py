"""Readings that come after their window: judged by the hour at their own time, in any order, any number of times."""

from dataclasses import replace
from datetime import datetime
from functools import reduce
from itertools import permutations
from zoneinfo import ZoneInfo

import numpy as np

from qingquan.domain.findings import Finding, FindingKind
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.late import late_findings, merge_late

HOUR = 60 * MINUTE
PLAN = plan_of(make_works("W1", ("free_chlorine", "turbidity", "flow")))
SLOT = {key.parameter: slot for slot, key in enumerate(PLAN.series)}


def judged(*rows: tuple[str, int, float], flag: int = 2) -> dict[str, Finding]:
    """Late findings by rule of readings (parameter, minute after START, value)."""
    found = late_findings(
        PLAN,
        np.array([SLOT[name] for name, _, _ in rows], np.int32),
        np.array([START + minute * MINUTE for _, minute, _ in rows], np.int64),
        np.array([value for _, _, value in rows], np.float64),
        np.full(len(rows), flag, np.uint8),
    )
    return {one.rule: one for one in found}


def test_a_low_residual_of_an_hour_is_one_finding_with_its_worst_value() -> None:
    said = judged(("free_chlorine", 5, 0.25), ("free_chlorine", 40, 0.10), ("free_chlorine", 50, 0.20))
    (one,) = said.values()
    assert (one.rule, one.kind, one.late) == ("disinfection-low:late", FindingKind.DISINFECTION_LOW, True)
    assert (one.start, one.end, one.extreme, one.evidence_at) == (START, START + HOUR, 0.10, START + 50 * MINUTE)
    assert (one.limit, one.clause) == (0.3, "GB 5749-2022 Table 2")
    assert one.evidence["limit_id"] == "gb5749-2022.free_chlorine.outlet"


def test_each_hour_has_a_finding_of_its_own() -> None:
    found = late_findings(
        PLAN, np.full(4, SLOT["free_chlorine"], np.int32), START + np.array([0, 59, 60, 179]) * MINUTE,
        np.full(4, 0.1), np.full(4, 2, np.uint8),
    )  # fmt: skip
    assert sorted((one.start - START) // HOUR for one in found) == [0, 1, 2]


def test_values_at_the_limit_out_of_range_or_bad_by_the_devices_word_are_no_findings() -> None:
    assert judged(("free_chlorine", 0, 0.3), ("free_chlorine", 1, 2.0), ("turbidity", 2, 1.0)) == {}
    assert judged(("free_chlorine", 0, -0.1), ("free_chlorine", 1, 5.1), ("turbidity", 2, 100.1)) == {}
    assert judged(("free_chlorine", 0, 0.1), flag=3) == judged(("free_chlorine", 0, 0.1), flag=4) == {}


def test_every_rule_that_is_broken_speaks() -> None:
    assert set(judged(("turbidity", 0, 6.0), ("free_chlorine", 0, 2.5))) == {
        "turbidity-above-limit:late", "turbidity-above-3:late", "turbidity-above-5:late", "disinfection-high:late",
    }  # fmt: skip


def test_the_edition_in_force_at_the_readings_own_time_judges() -> None:
    midnight = int(datetime(2023, 4, 1, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
    found = late_findings(
        PLAN, np.full(2, SLOT["free_chlorine"], np.int32), np.array([midnight - 1, midnight]), np.full(2, 3.0),
        np.full(2, 2, np.uint8),
    )  # fmt: skip
    assert [(one.start, one.limit, one.clause) for one in found] == [(midnight, 2.0, "GB 5749-2022 Table 2")]


def test_merging_is_commutative_and_idempotent_whichever_batches_the_readings_came_in() -> None:
    values = [0.25, 0.05, 0.20, 0.12]
    whole = judged(*(("free_chlorine", minute, value) for minute, value in enumerate(values)))["disinfection-low:late"]
    parts = [judged(("free_chlorine", minute, value))["disinfection-low:late"] for minute, value in enumerate(values)]
    for order in permutations([*parts, parts[1]]):
        assert reduce(merge_late, order) == whole


def test_an_upper_limit_keeps_the_highest_value() -> None:
    low, high = (judged(("turbidity", 0, value))["turbidity-above-limit:late"] for value in (1.2, 8.0))
    assert merge_late(low, high).extreme == merge_late(high, low).extreme == 8.0
    assert replace(merge_late(low, high), reason="") == replace(merge_late(high, low), reason="")


def test_a_late_upload_is_recorded_and_leaves_state_and_live_findings_alone() -> None:
    account = Account(PLAN)
    flow, chlorine = SLOT["flow"], SLOT["free_chlorine"]
    account.feed(
        [
            Row(slot, START + m * MINUTE, 8.0 if slot == flow else 0.6)
            for m in range(300, 400)
            for slot in (flow, chlorine)
        ]
    )
    before = account.state.series[0].tobytes(), account.state.timers[0].tobytes(), account.state.units[0].tobytes()
    said = account.feed([Row(chlorine, START + m * MINUTE, 0.0) for m in range(120)], now=START + 400 * MINUTE)
    assert account.counts["late"] == 120
    assert {(one.late, one.end is not None) for one in said} == {(True, True)}
    assert [one.start for one in said] == [START, START + HOUR]
    assert before == (
        account.state.series[0].tobytes(), account.state.timers[0].tobytes(), account.state.units[0].tobytes()
    )  # fmt: skip
    assert all("0.00mg/L" in one.reason for one in said)
