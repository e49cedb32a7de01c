"""What is said of an instrument that disagrees with measurements by hand, and of water that people found out of its limits. Pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from qingquan.domain.quality import HAND_EVERY_H, HandCheck, InstrumentCheck, Trust, hand_tolerance

__all__ = ["REPAIR_WORKING_DAYS", "disagreement", "disagreement_title", "found_by_hand"]

REPAIR_WORKING_DAYS = 5
"""For how long people may measure in an instrument's place (15A NCAC 18C .2004)."""

_TITLE = {
    "zh": "{name}仪表{sensor}、人工{hand}，不符",
    "en": "{name} reads {sensor}, by hand {hand}",
}
_DISAGREES = {
    Trust.UNVERIFIED: {
        "zh": "{name}仪表读数{sensor}，人工测定{hand}，相差超过允许差{tolerance}：仪表待核实，请再测一次",
        "en": "{name} reads {sensor} and {hand} was measured by hand, more than the tolerance of {tolerance} apart: the instrument is "
        "unverified, measure once more",
    },
    Trust.FAILED: {
        "zh": "{name}仪表连续{count}次与人工测定不符（最近一次仪表{sensor}，人工{hand}，允许差{tolerance}）：仪表读数不可信；"
        "修复并比对合格前，每{every}小时人工测定并登记一次，{day}前修复",
        "en": "{name} disagreed with measurements by hand {count} times running (last: instrument {sensor}, by hand {hand}, tolerance "
        "{tolerance}): do not trust it; until it is mended and agrees, measure and log every {every} h, and mend it by {day}",
    },
}
_FOUND = {
    "zh": "人工测定出厂水{name}{hand}，{side}{limit}；仪表{sensor}，以人工测定为准，请立即处置",
    "en": "{name} at the outlet measured by hand is {hand}, {side} {limit}; the instrument {sensor}; go by the hand sample and act now",
}
_SENSOR = {"zh": ("读数{value}", "无可比读数"), "en": ("reads {value}", "has no reading to compare")}
_SIDES = {"zh": ("高于", "不高于", "低于"), "en": ("above", "not above", "below")}


def disagreement(check: InstrumentCheck, name: str, unit: str, repair_by: int, time_zone: str, language: str) -> str:
    """Why a finding about an instrument was made; ``repair_by`` [ms] is the end of the last day for its repair."""
    newest = check.checks[0]
    day = datetime.fromtimestamp(repair_by / 1000, UTC).astimezone(ZoneInfo(time_zone))
    return _DISAGREES[check.trust][language].format(
        name=name, sensor=_value(newest.sensor, unit), hand=_by_hand(newest, unit, language), count=check.in_a_row,
        tolerance=_value(hand_tolerance(newest.by_hand), unit), every=HAND_EVERY_H,
        day=f"{day.month}月{day.day}日" if language == "zh" else f"{day:%Y-%m-%d}",
    )  # fmt: skip


def disagreement_title(newest: HandCheck, name: str, unit: str, language: str) -> str:
    """The same in the few characters of a message."""
    return _TITLE[language].format(name=name, sensor=_value(newest.sensor, unit), hand=_by_hand(newest, unit, language))


def found_by_hand(
    value: float, is_below: bool, limit: float, side: int, sensor: float | None, name: str, unit: str, language: str
) -> str:  # fmt: skip
    """Why a finding about the water was made. ``side``: 1 above ``limit``, 0 at or below it (the floor), -1 below it."""
    told, none = _SENSOR[language]
    beside = none if sensor is None else told.format(value=_value(sensor, unit))
    hand = _less_than(value, unit, language) if is_below else _value(value, unit)
    words = _SIDES[language][1 - side]
    return _FOUND[language].format(name=name, hand=hand, side=words, limit=_value(limit, unit), sensor=beside)


def _by_hand(check: HandCheck, unit: str, language: str) -> str:
    return _less_than(check.by_hand, unit, language) if check.is_below else _value(check.by_hand, unit)


def _less_than(value: float, unit: str, language: str) -> str:
    # In words: providers of SMS refuse the sign.
    return ("低于" if language == "zh" else "less than ") + _value(value, unit)


def _value(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}"
