"""Settings of the quality tests by parameter, from the tables `quality_tests.csv` and `quality_cross.csv`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Parameter, ParameterKind
from qingquan.domain.quality import QualitySettings
from qingquan.errors import ConfigurationError
from qingquan.standards.limit_checks import duplicate_faults
from qingquan.standards.loader import load_standards
from qingquan.standards.tables import cell_in, needed, number_of, packaged_table, table_rows

__all__ = ["QualityRow", "load_cross", "load_quality_rows", "quality_rows_from", "quality_settings"]

TESTS, CROSS = "quality_tests.csv", "quality_cross.csv"
_NUMBERS = (
    "suspect_min", "suspect_max", "spike_suspect", "spike_fail", "spike_relative", "rate_suspect", "rate_fail", "rate_base_min",
    "rate_relative", "attenuated_h", "attenuated_suspect", "attenuated_fail", "service_days",
)  # fmt: skip
_COLUMNS = (
    "parameter", *_NUMBERS[:5], "spike_kind", *_NUMBERS[5:-1], "no_sample_flow", "service_days", "source",
)  # fmt: skip
_KINDS = ("mean", "opposed")
_WITHOUT_FLOW = {"none": 0, "suspect": int(Flag.SUSPECT), "fail": int(Flag.FAIL)}
_CROSS_NAMES = (
    "ph_share", "over_total_mg_l", "over_total_share", "starved_floor_mg_l", "starved_after_h", "starved_for_h", "ahead_min",
)  # fmt: skip
HOUR, MINUTE = 3_600_000, 60_000
DIGITS = 1e-9
"""Readings are decimal: 0.46 less 0.45 must not be more than 0.01."""


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One row of `quality_tests.csv`; numbers in the parameter's unit, hours and minutes."""

    parameter: str
    numbers: Mapping[str, float]
    is_opposed: bool
    no_sample_flow: int
    source: str


@cache
def load_quality_rows() -> dict[str, QualityRow]:
    """Rows by parameter. Raises `ConfigurationError`, a line per wrong row."""
    return quality_rows_from(packaged_table(TESTS), load_standards().parameters)


def quality_rows_from(text: str, parameters: Mapping[str, Parameter]) -> dict[str, QualityRow]:
    """The same of a table given as CSV text. Every quality parameter has a row; switches have none."""
    faults: list[str] = []
    rows = table_rows(TESTS, text, _COLUMNS, _row, faults)
    faults += duplicate_faults("parameter", ((one.place, one.row.parameter) for one in rows))
    measured = {code: one for code, one in parameters.items() if one.kind is not ParameterKind.STATE}
    for one in rows:
        parameter = measured.get(one.row.parameter)
        if parameter is None:
            faults.append(f"{one.place}: {one.row.parameter!r} is no measured parameter; known: {', '.join(measured)}")
        elif (
            one.row.numbers["suspect_min"] < parameter.range_min or one.row.numbers["suspect_max"] > parameter.range_max
        ):
            span = f"{parameter.range_min:g} to {parameter.range_max:g}"
            faults.append(f"{one.place}: the suspect span is not within the instrument's, {span} {parameter.unit}")
    quality = {code for code, one in parameters.items() if one.kind is ParameterKind.QUALITY}
    faults += [f"{TESTS}: {code} has no row" for code in sorted(quality - {one.row.parameter for one in rows})]
    if faults:
        raise ConfigurationError(faults)
    return {one.row.parameter: one.row for one in rows}


@cache
def load_cross() -> dict[str, float]:
    """Settings across parameters by name: shares, mg/L, h and min as the names say."""
    faults: list[str] = []
    rows = table_rows(CROSS, packaged_table(CROSS), ("name", "value", "unit", "source"), _cross_row, faults)
    faults += duplicate_faults("name", ((one.place, one.row[0]) for one in rows))
    faults += [f"{CROSS}: {name} has no row" for name in _CROSS_NAMES if name not in {one.row[0] for one in rows}]
    if faults:
        raise ConfigurationError(faults)
    return dict(one.row for one in rows)


def quality_settings(parameter: Parameter, point_kind: str, cadence_s: float, flat_floor: float) -> QualitySettings:
    """Settings of one series.

    Parameters
    ----------
    parameter : Parameter
        Its instrument span and flat-line times count; a parameter without a row is tested for range and device alone.
    point_kind : str
        Raw water knows no span of its own beside the instrument's.
    cadence_s : float
        Expected time between readings [s]; a silence longer than three begins a new stretch.
    flat_floor : float
        At or below it a flat line is never called stuck; minus infinity for what is no residual.
    """
    low, high = parameter.span_at(point_kind)
    row = load_quality_rows().get(parameter.code)
    number = dict.fromkeys(_NUMBERS, 0.0) | {"suspect_min": low, "suspect_max": high} if row is None else row.numbers
    is_raw = high != parameter.range_max
    base_s = number["rate_base_min"] * 60
    return QualitySettings(
        parameter=parameter.code, fail_min=low, fail_max=high,
        suspect_min=low if is_raw else number["suspect_min"], suspect_max=high if is_raw else number["suspect_max"],
        spike_suspect=number["spike_suspect"], spike_fail=number["spike_fail"], spike_relative=number["spike_relative"],
        spike_opposed=row is not None and row.is_opposed,
        rate_suspect=number["rate_suspect"] / base_s if base_s else 0.0, rate_fail=number["rate_fail"] / base_s if base_s else 0.0,
        rate_base_ms=round(number["rate_base_min"] * MINUTE), rate_relative=number["rate_relative"],
        # The table of parameters gives a distance from a level, to either side.
        flat_tolerance=2 * parameter.flat_tolerance + DIGITS, flat_floor=flat_floor,
        flat_suspect_ms=round(parameter.flat_suspect_h * HOUR), flat_fail_ms=round(parameter.flat_fail_h * HOUR),
        attenuated_ms=round(number["attenuated_h"] * HOUR), attenuated_suspect=number["attenuated_suspect"],
        attenuated_fail=number["attenuated_fail"], no_sample_flow=0 if row is None else row.no_sample_flow,
        gap_ms=round(3 * cadence_s * 1000),
    )  # fmt: skip


def _row(row: dict[str, str]) -> QualityRow:
    needed(row, *_COLUMNS)
    numbers = {name: number_of(row, name) or 0.0 for name in _NUMBERS}
    below = [name for name in _NUMBERS[2:] if numbers[name] < 0]
    if below:
        raise ValueError(f"below 0: {', '.join(below)}")
    for name in ("spike", "rate"):
        if 0 < numbers[f"{name}_fail"] < numbers[f"{name}_suspect"]:
            raise ValueError(f"{name}_fail is below {name}_suspect")
    if numbers["attenuated_fail"] > numbers["attenuated_suspect"]:
        raise ValueError("attenuated_fail is above attenuated_suspect")
    if not numbers["suspect_min"] < numbers["suspect_max"]:
        raise ValueError("suspect_min is not below suspect_max")
    if numbers["rate_suspect"] > 0 and numbers["rate_base_min"] <= 0:
        raise ValueError("rate_base_min must be above 0 where a rate is given")
    return QualityRow(
        row["parameter"], numbers, cell_in(row, "spike_kind", _KINDS) == "opposed",
        _WITHOUT_FLOW[cell_in(row, "no_sample_flow", tuple(_WITHOUT_FLOW))], row["source"],
    )  # fmt: skip


def _cross_row(row: dict[str, str]) -> tuple[str, float]:
    needed(row, "name", "value", "unit", "source")
    value = number_of(row, "value") or 0.0
    if value <= 0:
        raise ValueError(f"value {value:g} is not above 0")
    if row["name"] not in _CROSS_NAMES:
        raise ValueError(f"name {row['name']!r}: allowed: {', '.join(_CROSS_NAMES)}")
    return row["name"], value
