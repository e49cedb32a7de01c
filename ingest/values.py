"""Scalars as devices write them, brought to a number in the parameter's canonical unit.

What counts as "no value" (a reading with flag 9, never zero and never quarantine):

* ``null``, and the texts of `NO_VALUE_TEXTS` in any case;
* the numbers of `NO_VALUE_CODES`, but only where the instrument cannot read them: 9999 is a flow and is no pH.
"""

import math
import re
from typing import NamedTuple

from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Parameter, ParameterKind
from qingquan.domain.readings import QuarantineReason
from qingquan.standards.loader import Unit

__all__ = ["NO_VALUE_CODES", "NO_VALUE_TEXTS", "Refused", "device_flag", "is_no_value_code", "is_no_value_text", "value_of"]  # fmt: skip

# fmt: off
NO_VALUE_TEXTS = frozenset(
    ("", "-", "--", "---", "----", "nan", "null", "none", "nil", "n/a", "na", "#n/a", "*", "***", "****", "无", "无数据")
)
# fmt: on
NO_VALUE_CODES = frozenset((-99999.0, -9999.0, -999.0, 9999.0, 99999.0))

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:inf|infinity|1\.#(?:inf|qnan|ind).*)", re.IGNORECASE)
_STATE_TEXTS = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}

# Only "normal" may raise a water alarm (HJ 212 letters; QARTOD numbers; OPC quality 192/64). A code that we do not know is
# suspect: taking it for good would make silence a pass.
_DEVICE_FLAGS = {
    **dict.fromkeys(("n", "normal", "good", "ok", "0", "1", "192", "pass", "正常"), Flag.PASS),
    **dict.fromkeys(("2", "unknown"), Flag.NOT_EVALUATED),
    **dict.fromkeys(("3", "64", "s", "suspect", "uncertain", "questionable"), Flag.SUSPECT),
    **dict.fromkeys(("4", "bad", "fail", "fault", "f", "m", "d", "c", "t", "b", "maintenance", "calibration"), Flag.FAIL),
    **dict.fromkeys(("9", "missing"), Flag.MISSING),
}  # fmt: skip

_FLAGS_AS_WRITTEN = _DEVICE_FLAGS | {code.upper(): flag for code, flag in _DEVICE_FLAGS.items()}


class Refused(NamedTuple):
    """Why a scalar is no value of the parameter."""

    reason: QuarantineReason
    detail: str


def value_of(raw: object, parameter: Parameter, unit: Unit | None = None) -> float | Refused:
    """The value in the parameter's unit, NaN where the device said "no value", or why it is refused.

    ``unit`` tells how to convert; ``None`` = already canonical. Truth values are taken for state parameters only.
    """
    if raw is None:
        return math.nan
    if isinstance(raw, bool):
        if parameter.kind is ParameterKind.STATE:
            return float(raw)
        return Refused(QuarantineReason.BAD_VALUE, f"{raw!r} for {parameter.code}: expected a number")
    if isinstance(raw, str):
        return _value_of_text(raw, parameter, unit)
    if isinstance(raw, int | float):
        return _value_of_number(raw, parameter, unit)
    return Refused(QuarantineReason.BAD_VALUE, f"{type(raw).__name__} for {parameter.code}: expected a number")


def is_no_value_text(text: str) -> bool:
    """Whether the text is one of the ways in which devices and files write "no value"."""
    return text.strip().casefold() in NO_VALUE_TEXTS


def is_no_value_code(raw: float, value: float, parameter: Parameter) -> bool:
    """Whether a number as sent (``raw``; ``value`` in canonical unit) stands for "no value"."""
    return raw in NO_VALUE_CODES and not parameter.range_min <= value <= parameter.raw_range_max


def device_flag(code: object) -> Flag:
    """Flag behind a device's own quality code.

    ``N``, ``good``, ``ok``, 0, 1 and 192 pass; 2 is not evaluated; ``S`` (entered by hand), ``uncertain``, 3 and 64 are
    suspect; ``M``, ``C``, ``D``, ``F``, ``T``, ``B`` (maintenance, calibration, fault, stopped, out of span, link), ``bad`` and 4
    fail; 9 is missing; ``null`` says nothing. Any other code is suspect.
    """
    if code.__class__ is str:
        known = _FLAGS_AS_WRITTEN.get(code)
        if known is not None:
            return known
    if code is None:
        return Flag.NOT_EVALUATED
    if isinstance(code, bool):
        return Flag.PASS if code else Flag.FAIL
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    return _DEVICE_FLAGS.get(str(code).strip().casefold(), Flag.SUSPECT)


def _value_of_text(text: str, parameter: Parameter, unit: Unit | None) -> float | Refused:
    plain = text.strip()
    if plain.casefold() in NO_VALUE_TEXTS:
        return math.nan
    if _NUMBER.fullmatch(plain):
        return _value_of_number(float(plain), parameter, unit)
    if _NOT_FINITE.fullmatch(plain):
        return Refused(QuarantineReason.NOT_FINITE, f"{text[:40]!r} for {parameter.code}")
    if parameter.kind is ParameterKind.STATE and plain.casefold() in _STATE_TEXTS:
        return _STATE_TEXTS[plain.casefold()]
    return Refused(QuarantineReason.BAD_VALUE, f"{text[:40]!r} for {parameter.code}: expected a number")


def _value_of_number(raw: float, parameter: Parameter, unit: Unit | None) -> float | Refused:
    try:
        value = float(raw) if unit is None else float(raw) * unit.factor + unit.offset
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        return Refused(QuarantineReason.NOT_FINITE, f"{raw!r:.40} for {parameter.code}")
    return math.nan if is_no_value_code(raw, value, parameter) else value
