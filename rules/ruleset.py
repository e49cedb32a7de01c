"""The ruleset as a value, checked whole before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from qingquan.domain.findings import Severity
from qingquan.domain.works import PointKind
from qingquan.errors import ConfigurationError

__all__ = ["DisinfectionRules", "InstrumentRules", "Rule", "Ruleset", "parse_ruleset"]

RESIDUALS = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone")
LIMIT_BOUNDS = ("limit.min", "limit.max")
MINUTE = 60_000
# Beyond any bound or time [min] that means something; shuts out TOML's inf and nan and what no int64 of ms can hold.
LARGEST = 1e12
SEVERITY_WORDS = ("low", "missing", "high", "very_high", "unknown", "standing")
DISINFECTION_KEYS = (
    "low_for_min", "low_clear_margin_mg_l", "floor_mg_l", "floor_begin_margin_mg_l", "floor_clear_margin_mg_l",
    "missing_floor_for_min", "missing_equipment_for_min", "missing_both_for_min", "high_for_min", "very_high_mg_l",
    "very_high_for_min", "unknown_for_min", "standing_for_min", "standing_most_min", "standing_turbidity_share", "standing_ph",
    "standing_temperature_degc", "idle_for_min", "clear_for_min", "clear_samples", "flow_min_m3_h",
    "stock_empty_percent", "severity",
)  # fmt: skip
DEFAULTS = ("for_min", "clear_for_min", "clear_samples")


@dataclass(frozen=True, slots=True)
class Rule:
    """An exceedance rule: ``parameter`` (or ``residual``, the works' own) above or below a bound for ``for_ms``."""

    id: str
    parameter: str
    points: tuple[PointKind, ...]
    is_above: bool
    bound: float | str
    clear_margin: float
    for_ms: int
    clear_ms: int
    clear_samples: int
    severity: Severity
    basis: str


@dataclass(frozen=True, slots=True)
class DisinfectionRules:
    """Thresholds [mg/L by residual parameter, m3/h, %] and times [ms] of the disinfection state machine."""

    low_for_ms: int
    low_clear_margin: Mapping[str, float]
    floor: Mapping[str, float]
    floor_begin_margin: Mapping[str, float]
    floor_clear_margin: Mapping[str, float]
    missing_floor_for_ms: int
    missing_equipment_for_ms: int
    missing_both_for_ms: int
    high_for_ms: int
    very_high: Mapping[str, float]
    very_high_for_ms: int
    unknown_for_ms: int
    standing_for_ms: int
    standing_most_ms: int
    standing_turbidity: float
    standing_ph: float
    standing_temperature: float
    idle_for_ms: int
    clear_ms: int
    clear_samples: int
    flow_min: float
    stock_empty: float
    severity: Mapping[str, Severity]


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """What is said of instruments and of silence."""

    out_of_range_for_ms: int
    out_of_range_severity: Severity
    flat_line_severity: Severity
    maintenance_most_ms: int
    silence_severity: Severity
    never_seen_severity: Severity


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything that varies without changing code. ``version`` goes into every finding."""

    version: str
    standard: str
    rules: tuple[Rule, ...]
    disinfection: DisinfectionRules
    instrument: InstrumentRules


class _Reader:
    """Takes values out of a table by type and collects faults instead of raising at the first."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: list[str] = []

    def fault(self, path: str, found: object, allowed: str) -> None:
        self.faults.append(f"{self.where}: {path} = {found!r}: allowed: {allowed}")

    def number(self, table: Mapping[str, Any], path: str, key: str, default: float | None = None) -> float:
        found = table.get(key, default)
        if not _is_finite(found) or found < 0:
            self.fault(f"{path}.{key}", found, "a number, 0 or more")
            return 0.0
        return float(found)

    def count(self, table: Mapping[str, Any], path: str, key: str) -> int:
        found = table.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**31:
            self.fault(f"{path}.{key}", found, "a whole number, 0 or more")
            return 0
        return found

    def minutes(self, table: Mapping[str, Any], path: str, key: str, default: float | None = None) -> int:
        return round(self.number(table, path, key, default) * MINUTE)

    def word(self, table: Mapping[str, Any], path: str, key: str) -> str:
        found = table.get(key)
        if not isinstance(found, str) or not found:
            self.fault(f"{path}.{key}", found, "a word")
            return ""
        return found

    def severity(self, table: Mapping[str, Any], path: str, key: str) -> Severity:
        found = table.get(key)
        by_word = {severity.word: severity for severity in Severity}
        if not isinstance(found, str) or found not in by_word:
            self.fault(f"{path}.{key}", found, ", ".join(by_word))
            return Severity.INFO
        return by_word[found]

    def table(self, table: Mapping[str, Any], path: str, key: str) -> Mapping[str, Any]:
        found = table.get(key)
        if not isinstance(found, Mapping):
            self.fault(f"{path}{key}", found, "a table")
            return {}
        return found

    def by_residual(self, table: Mapping[str, Any], path: str, key: str) -> dict[str, float]:
        inner = self.table(table, f"{path}.", key)
        for name in sorted(set(inner) - set(RESIDUALS)):
            self.fault(f"{path}.{key}.{name}", inner[name], f"keys {', '.join(RESIDUALS)}")
        return {name: self.number(inner, f"{path}.{key}", name) for name in RESIDUALS}

    def only(self, table: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in sorted(set(table) - set(known)):
            self.fault(f"{path}{key}", table[key], f"keys {', '.join(known)}")


def _is_finite(found: object) -> TypeGuard[int | float]:
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < LARGEST


def parse_ruleset(table: Mapping[str, Any], parameters: Mapping[str, object], where: str = "ruleset") -> Ruleset:
    """A ruleset from its TOML table.

    Raises
    ------
    ConfigurationError
        All faults at once, each with file, key, value found and values allowed.
    """
    read = _Reader(where)
    read.only(table, "", ("version", "standard", "defaults", "rule", "disinfection", "instrument", "silence"))
    defaults = read.table(table, "", "defaults")
    read.only(defaults, "defaults.", DEFAULTS)
    rules = tuple(_rule(row, path, defaults, parameters, read) for path, row in _rows(table, read))
    seen: set[str] = set()
    for rule in rules:
        if rule.id and rule.id in seen:
            read.fault(f"rule {rule.id}", rule.id, "an id used once")
        seen.add(rule.id)
    ruleset = Ruleset(
        version=read.word(table, "", "version"),
        standard=read.word(table, "", "standard"),
        rules=rules,
        disinfection=_disinfection(read.table(table, "", "disinfection"), read),
        instrument=_instrument(read.table(table, "", "instrument"), read.table(table, "", "silence"), read),
    )
    if read.faults:
        raise ConfigurationError(read.faults)
    return ruleset


def _rows(table: Mapping[str, Any], read: _Reader) -> list[tuple[str, Mapping[str, Any]]]:
    rows = table.get("rule", [])
    if not isinstance(rows, list):
        read.fault("rule", rows, "[[rule]] tables")
        return []
    for n, row in enumerate(rows):
        if not isinstance(row, Mapping):
            read.fault(f"rule[{n}]", row, "a table")
    return [(f"rule[{n}]", row) for n, row in enumerate(rows) if isinstance(row, Mapping)]


def _points(row: Mapping[str, Any], path: str, read: _Reader) -> tuple[PointKind, ...]:
    kinds = [kind.value for kind in PointKind]
    points = row.get("points")
    if not isinstance(points, list) or not points:
        read.fault(f"{path}.points", points, f"a list of {', '.join(kinds)}")
        return ()
    for point in points:
        if point not in kinds:
            read.fault(f"{path}.points", point, ", ".join(kinds))
    return tuple(PointKind(point) for point in points if point in kinds)


def _bound(row: Mapping[str, Any], path: str, read: _Reader) -> float | str:
    if ("above" in row) == ("below" in row):
        read.fault(path, sorted(row), "exactly one of above, below")
        return 0.0
    side = "above" if "above" in row else "below"
    bound = row[side]
    if isinstance(bound, str) and bound in LIMIT_BOUNDS:
        return bound
    if not _is_finite(bound):
        read.fault(f"{path}.{side}", bound, f"a number, {', '.join(LIMIT_BOUNDS)}")
        return 0.0
    return float(bound)


def _rule(
    row: Mapping[str, Any], path: str, defaults: Mapping[str, Any], parameters: Mapping[str, object], read: _Reader
) -> Rule:
    known = (
        "id", "parameter", "points", "above", "below", "clear_margin", "for_min", "clear_for_min", "clear_samples",
        "severity", "basis",
    )  # fmt: skip
    read.only(row, f"{path}.", known)
    parameter = read.word(row, path, "parameter")
    if parameter and parameter != "residual" and parameter not in parameters:
        read.fault(f"{path}.parameter", parameter, f"residual, {', '.join(parameters)}")
    merged = {**defaults, **row}
    return Rule(
        id=read.word(row, path, "id"),
        parameter=parameter,
        points=_points(row, path, read),
        is_above="above" in row,
        bound=_bound(row, path, read),
        clear_margin=read.number(row, path, "clear_margin", 0.0),
        for_ms=read.minutes(merged, path, "for_min"),
        clear_ms=read.minutes(merged, path, "clear_for_min"),
        clear_samples=read.count(merged, path, "clear_samples"),
        severity=read.severity(row, path, "severity"),
        basis=read.word(row, path, "basis"),
    )


def _disinfection(table: Mapping[str, Any], read: _Reader) -> DisinfectionRules:
    path = "disinfection"
    read.only(table, f"{path}.", DISINFECTION_KEYS)
    severity = read.table(table, f"{path}.", "severity")
    read.only(severity, f"{path}.severity.", SEVERITY_WORDS)
    rules = DisinfectionRules(
        low_for_ms=read.minutes(table, path, "low_for_min"),
        low_clear_margin=read.by_residual(table, path, "low_clear_margin_mg_l"),
        floor=read.by_residual(table, path, "floor_mg_l"),
        floor_begin_margin=read.by_residual(table, path, "floor_begin_margin_mg_l"),
        floor_clear_margin=read.by_residual(table, path, "floor_clear_margin_mg_l"),
        missing_floor_for_ms=read.minutes(table, path, "missing_floor_for_min"),
        missing_equipment_for_ms=read.minutes(table, path, "missing_equipment_for_min"),
        missing_both_for_ms=read.minutes(table, path, "missing_both_for_min"),
        high_for_ms=read.minutes(table, path, "high_for_min"),
        very_high=read.by_residual(table, path, "very_high_mg_l"),
        very_high_for_ms=read.minutes(table, path, "very_high_for_min"),
        unknown_for_ms=read.minutes(table, path, "unknown_for_min"),
        standing_for_ms=read.minutes(table, path, "standing_for_min"),
        standing_most_ms=read.minutes(table, path, "standing_most_min"),
        standing_turbidity=read.number(table, path, "standing_turbidity_share"),
        standing_ph=read.number(table, path, "standing_ph"),
        standing_temperature=read.number(table, path, "standing_temperature_degc"),
        idle_for_ms=read.minutes(table, path, "idle_for_min"),
        clear_ms=read.minutes(table, path, "clear_for_min"),
        clear_samples=read.count(table, path, "clear_samples"),
        flow_min=read.number(table, path, "flow_min_m3_h"),
        stock_empty=read.number(table, path, "stock_empty_percent"),
        severity={word: read.severity(severity, f"{path}.severity", word) for word in SEVERITY_WORDS},
    )
    for name in RESIDUALS:
        # Otherwise a residual could be shown to be back while it still counts as lost.
        if rules.floor_begin_margin[name] > rules.floor_clear_margin[name]:
            begin = rules.floor_begin_margin[name]
            read.fault(f"{path}.floor_begin_margin_mg_l.{name}", begin, "at most floor_clear_margin_mg_l")
    return rules


def _instrument(table: Mapping[str, Any], silence: Mapping[str, Any], read: _Reader) -> InstrumentRules:
    read.only(
        table,
        "instrument.",
        ("out_of_range_for_min", "out_of_range_severity", "flat_line_severity", "maintenance_most_min"),
    )
    read.only(silence, "silence.", ("severity", "never_seen_severity"))
    return InstrumentRules(
        out_of_range_for_ms=read.minutes(table, "instrument", "out_of_range_for_min"),
        out_of_range_severity=read.severity(table, "instrument", "out_of_range_severity"),
        flat_line_severity=read.severity(table, "instrument", "flat_line_severity"),
        maintenance_most_ms=read.minutes(table, "instrument", "maintenance_most_min"),
        silence_severity=read.severity(silence, "silence", "severity"),
        never_seen_severity=read.severity(silence, "silence", "never_seen_severity"),
    )
