"""An instrument held against measurements by hand."""

import pytest

from qingquan.domain.quality import HandCheck, Trust
from rules.quality.hand_checks import instrument_check
from rules.quality.hand_words import disagreement, found_by_hand

NOW, DAY = 1_780_000_000_000, 86_400_000


def checks(*pairs: tuple[float, float]) -> list[HandCheck]:
    """By hand and instrument, oldest first, a day apart."""
    return [HandCheck(NOW - (len(pairs) - n) * DAY, by_hand, sensor) for n, (by_hand, sensor) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("by_hand", "sensor", "is_out"),
    [
        (0.5, 0.6, False), (0.5, 0.61, True), (0.5, 0.4, False), (0.5, 0.39, True),
        # From 0.67 mg/L on 15 % is the larger.
        (2.0, 2.3, False), (2.0, 2.31, True), (2.0, 1.69, True), (0.0, 0.1, False), (0.0, 0.11, True),
    ],
)  # fmt: skip
def test_the_tolerance_is_the_larger_of_a_tenth_and_fifteen_percent(
    by_hand: float, sensor: float, is_out: bool
) -> None:
    assert HandCheck(NOW, by_hand, sensor).is_out is is_out


def test_less_than_leaves_room_below_and_none_above() -> None:
    assert not HandCheck(NOW, 0.05, 0.0, is_below=True).is_out
    assert not HandCheck(NOW, 0.05, 0.15, is_below=True).is_out
    assert HandCheck(NOW, 0.05, 0.16, is_below=True).is_out


@pytest.mark.parametrize(
    ("pairs", "trust", "in_a_row"),
    [
        ([(0.5, 0.52)], Trust.VERIFIED, 0),
        ([(0.5, 0.52), (0.5, 0.8)], Trust.UNVERIFIED, 1),
        ([(0.5, 0.8), (0.5, 0.52), (0.5, 0.8)], Trust.UNVERIFIED, 1),
        ([(0.5, 0.52), (0.5, 0.8), (0.5, 0.2)], Trust.FAILED, 2),
        ([(0.5, 0.8), (0.5, 0.8), (0.5, 0.52)], Trust.VERIFIED, 0),
    ],
)
def test_one_is_a_doubt_two_in_a_row_a_failure_and_one_that_agrees_ends_both(
    pairs: list[tuple[float, float]], trust: Trust, in_a_row: int
) -> None:
    given = checks(*pairs)
    # The order in which they are entered does not matter.
    found = instrument_check("outlet", "free_chlorine", given[::-1])
    assert found is not None
    assert (found.trust, found.in_a_row) == (trust, in_a_row)
    assert found.since == given[-max(in_a_row, 1)].at
    assert found.checks[0] is given[-1]
    assert instrument_check("outlet", "free_chlorine", []) is None


def test_the_words_say_what_to_do_by_when() -> None:
    found = instrument_check("outlet", "free_chlorine", checks((0.5, 0.9), (0.12, 0.42)))
    assert found is not None
    assert disagreement(found, "余氯", "mg/L", NOW, "Asia/Shanghai", "zh") == (
        "余氯仪表连续2次与人工测定不符（最近一次仪表0.42 mg/L，人工0.12 mg/L，允许差0.10 mg/L）：仪表读数不可信；"
        "修复并比对合格前，每4小时人工测定并登记一次，5月29日前修复"
    )
    assert "measure and log every 4 h, and mend it by 2026-05-29" in disagreement(
        found, "Free chlorine", "mg/L", NOW, "Asia/Shanghai", "en"
    )
    assert found_by_hand(0.05, True, 0.05, 0, None, "余氯", "mg/L", "zh") == (
        "人工测定出厂水余氯低于0.05 mg/L，不高于0.05 mg/L；仪表无可比读数，以人工测定为准，请立即处置"
    )
