"""The ruleset as a value, checked whole before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from hashlib import blake2b
from typing import Any

from qingquan.domain.findings import Severity
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind
from qingquan.errors import ConfigurationError
from rules.condition_reader import ConditionReader
from rules.conditions import Condition, Tree, leaves_of
from rules.table_reader import RESIDUALS, TableReader, is_finite

__all__ = ["DisinfectionRules", "InstrumentRules", "Rule", "Ruleset", "parse_ruleset"]

SEVERITY_WORDS = ("low", "missing", "high", "very_high", "unknown", "standing", "absent")
DISINFECTION_KEYS = (
    "low_for_min", "low_clear_margin_mg_l", "floor_mg_l", "floor_begin_margin_mg_l", "floor_clear_margin_mg_l",
    "missing_floor_for_min", "missing_equipment_for_min", "missing_both_for_min", "high_for_min", "very_high_mg_l",
    "very_high_for_min", "unknown_for_min", "standing_for_min", "standing_most_min", "standing_turbidity_share", "standing_ph",
    "standing_temperature_degc", "uv_dose_low_mj_cm2", "uv_dose_floor_mj_cm2", "absent_for_min", "idle_for_min", "clear_for_min", "clear_samples", "flow_min_m3_h",
    "stock_empty_percent", "severity",
)  # fmt: skip
DEFAULTS = ("for_min", "clear_for_min", "clear_samples", "min_coverage", "unknown_for_min")
TOP_KEYS = ("version", "standard", "defaults", "rule", "test", "disinfection", "instrument", "silence")
INSTRUMENT_KEYS = ("out_of_range_for_min", "out_of_range_severity", "flat_line_severity", "maintenance_most_min")
SILENCE_KEYS = ("severity", "never_seen_severity")
RULE_KEYS = (
    "id", "version", "parameter", "points", "above", "below", "unit", "average", "when", "clear", "clear_at", "clear_margin",
    "for_min", "clear_for_min", "clear_samples", "min_coverage", "unknown_for_min", "severity", "basis", "valid_from",
    "valid_to", "title_zh", "title_en",
)  # fmt: skip
# Keys that make a rule one of readings over time, judged as a compound.
COMPOUND_KEYS = ("when", "clear", "average", "min_coverage")
COVERAGE, UNKNOWN_FOR_MIN = 0.6, 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: ``parameter`` (or ``residual``, the works' own) above or below a bound for ``for_ms``, or, where ``when`` is given,
    a tree of conditions; its findings then speak of ``parameter``.

    ``version`` is what findings carry: that of the ruleset, with the rule's own behind a slash where it has one.
    ``fingerprint`` names the condition: a rule of another one begins anew. Days are inclusive at both ends. ``min_coverage`` is the
    share of expected readings without which nothing is said; ``unknown_for_ms`` after how long that is said.
    """

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
    version: str = ""
    clear_at: float | None = None
    when: Tree | None = None
    clear: Tree | None = None
    min_coverage: float = COVERAGE
    unknown_for_ms: int = 0
    valid_from: date | None = None
    valid_to: date | None = None
    title_zh: str = ""
    title_en: str = ""
    fingerprint: str = ""

    @property
    def is_single(self) -> bool:
        """Whether it compares nothing but its own parameter with one bound."""
        if self.when is None:
            return True
        return isinstance(self.when, Condition) and self.when.operands == (self.parameter,) and self.when.at is None

    def is_in_force(self, on: date) -> bool:
        """Whether it judges that day."""
        return (self.valid_from is None or self.valid_from <= on) and (self.valid_to is None or on <= self.valid_to)


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
    absent_for_ms: int
    uv_dose_low: float
    uv_dose_floor: float
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
    """Everything that varies without changing code. ``version`` goes into every finding.

    ``rules`` are simple thresholds, which the loop walks fastest; ``compounds`` everything else.
    """

    version: str
    standard: str
    rules: tuple[Rule, ...]
    compounds: tuple[Rule, ...]
    disinfection: DisinfectionRules
    instrument: InstrumentRules


def parse_ruleset(
    table: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    where: str = "ruleset",
    lines: Mapping[str, int] | None = None,
) -> Ruleset:
    """A ruleset from its TOML table. ``lines`` gives the line of the file by path (``rule[0].above``), where known.

    Raises
    ------
    ConfigurationError
        All faults at once, each with file, line, key, value found and values allowed.
    """
    read = TableReader(where, lines)
    read.only(table, "", TOP_KEYS)
    defaults = read.table(table, "", "defaults")
    read.only(defaults, "defaults.", DEFAULTS)
    version = read.word(table, "", "version")
    rows = [(path, _rule(row, path, defaults, parameters, version, read)) for path, row in _rows(table, read)]
    _no_overlaps(rows, read)
    rules = [rule for _, rule in rows]
    ruleset = Ruleset(
        version=version,
        standard=read.word(table, "", "standard"),
        rules=tuple(rule for rule in rules if rule.when is None),
        compounds=tuple(rule for rule in rules if rule.when is not None),
        disinfection=_disinfection(read.table(table, "", "disinfection"), read),
        instrument=_instrument(read.table(table, "", "instrument"), read.table(table, "", "silence"), read),
    )
    if read.faults:
        raise ConfigurationError(read.faults)
    return ruleset


def _no_overlaps(rows: list[tuple[str, Rule]], read: TableReader) -> None:
    """Rules of one id follow each other in time; no day has two of them."""
    by_id: dict[str, list[Rule]] = {}
    for path, rule in rows:
        for other in by_id.setdefault(rule.id, []) if rule.id else []:
            starts = max(rule.valid_from or date.min, other.valid_from or date.min)
            if starts <= min(rule.valid_to or date.max, other.valid_to or date.max):
                read.fault(
                    f"rule {rule.id}",
                    rule.id,
                    "an id used once, or with valid_from and valid_to that do not overlap",
                    at=f"{path}.id",
                )
                break
        by_id.setdefault(rule.id, []).append(rule)
        if rule.valid_from and rule.valid_to and rule.valid_from > rule.valid_to:
            read.fault(f"{path}.valid_to", str(rule.valid_to), f"{rule.valid_from} or later")


def _rows(table: Mapping[str, Any], read: TableReader) -> list[tuple[str, Mapping[str, Any]]]:
    rows = table.get("rule", [])
    if not isinstance(rows, list):
        read.fault("rule", rows, "[[rule]] tables")
        return []
    for n, row in enumerate(rows):
        if not isinstance(row, Mapping):
            read.fault(f"rule[{n}]", row, "a table")
    return [(f"rule[{n}]", row) for n, row in enumerate(rows) if isinstance(row, Mapping)]


def _points(row: Mapping[str, Any], path: str, read: TableReader) -> tuple[PointKind, ...]:
    kinds = [kind.value for kind in PointKind]
    points = row.get("points")
    if not isinstance(points, list) or not points:
        read.fault(f"{path}.points", points, f"a list of {', '.join(kinds)}")
        return ()
    for point in points:
        if point not in kinds:
            read.fault(f"{path}.points", point, ", ".join(kinds))
    return tuple(PointKind(point) for point in points if point in kinds)


def _rule(
    row: Mapping[str, Any], path: str, defaults: Mapping[str, Any], parameters: Mapping[str, Parameter], version: str,
    read: TableReader,
) -> Rule:  # fmt: skip
    read.only(row, f"{path}.", RULE_KEYS)
    conditions = ConditionReader(read, parameters)
    when = conditions.tree(row["when"], f"{path}.when") if "when" in row else None
    parameter = _subject(row, path, when, parameters, read)
    average = conditions.average(row, path)
    bound, clear_margin = 0.0, read.number(row, path, "clear_margin", 0.0)
    given: float | str = bound
    if "when" in row:
        for key in ("above", "below", "unit", "average", "clear_at", "clear_margin"):
            if key in row:
                read.fault(f"{path}.{key}", row[key], "nothing beside when: write it into the conditions")
    else:
        given = conditions.bound(row, path)
        if parameter:
            conditions.unit(Condition((parameter,), "above" in row, given), row, path)
    clear_at = _clear_at(row, path, given, read)
    clear = conditions.tree(row["clear"], f"{path}.clear") if "clear" in row else None
    if "when" not in row and any(key in row for key in COMPOUND_KEYS):
        margin = clear_margin
        if clear_at is not None and not isinstance(given, str):
            margin = abs(given - clear_at)
        when = Condition((parameter,), "above" in row, given, average=average, clear_margin=margin)
    if when is not None and clear is not None:
        _no_contradiction(when, clear, path, read)
    merged = {**defaults, **row}
    own = read.word(row, path, "version", "") if "version" in row else ""
    rule = Rule(
        id=read.word(row, path, "id"),
        parameter=parameter,
        points=_points(row, path, read),
        is_above="above" in row,
        bound=given,
        clear_margin=clear_margin,
        for_ms=read.minutes(merged, path, "for_min"),
        clear_ms=read.minutes(merged, path, "clear_for_min"),
        clear_samples=read.count(merged, path, "clear_samples"),
        severity=read.severity(row, path, "severity"),
        basis=read.word(row, path, "basis"),
        version=f"{version}/{own}" if own else version,
        clear_at=clear_at,
        when=when,
        clear=clear,
        min_coverage=read.share(merged, path, "min_coverage", COVERAGE),
        unknown_for_ms=read.minutes(merged, path, "unknown_for_min", UNKNOWN_FOR_MIN),
        valid_from=read.day(row, path, "valid_from"),
        valid_to=read.day(row, path, "valid_to"),
        title_zh=read.word(row, path, "title_zh", ""),
        title_en=read.word(row, path, "title_en", ""),
    )
    says = (rule.parameter, rule.is_above, rule.bound, rule.when, rule.clear, rule.valid_from)
    return replace(rule, fingerprint=blake2b(repr(says).encode(), digest_size=6).hexdigest())


def _subject(
    row: Mapping[str, Any], path: str, when: Tree | None, parameters: Mapping[str, Parameter], read: TableReader
) -> str:
    """The parameter a rule's findings speak of; of a tree, its first signal unless another is named."""
    if "parameter" not in row and "when" in row:
        return next((signal for leaf in leaves_of(when) for signal in leaf.signals), "") if when is not None else ""
    parameter = read.word(row, path, "parameter")
    if parameter and parameter != "residual" and parameter not in parameters:
        read.fault(f"{path}.parameter", parameter, f"residual, {', '.join(parameters)}")
        return ""
    return parameter


def _clear_at(row: Mapping[str, Any], path: str, bound: float | str, read: TableReader) -> float | None:
    """An absolute bound for clearing; it must lie on the good side of the one that alarms."""
    if "clear_at" not in row:
        return None
    found = row["clear_at"]
    if not is_finite(found):
        read.fault(f"{path}.clear_at", found, "a number")
        return None
    if "clear_margin" in row:
        read.fault(f"{path}.clear_at", found, "nothing beside clear_margin")
    if isinstance(bound, str):
        read.fault(
            f"{path}.clear_at", found, f"nothing beside {bound}, which changes with the standard: use clear_margin"
        )
    elif (found > bound) if "above" in row else (found < bound):
        side = "at most" if "above" in row else "at least"
        read.fault(f"{path}.clear_at", found, f"{side} {bound:g}, else it would clear while it still alarms")
    return float(found)


def _no_contradiction(when: Tree, clear: Tree, path: str, read: TableReader) -> None:
    """Refuse what clears while it alarms, where that can be seen: both hold one signal against a number."""
    if not (isinstance(when, Condition) and isinstance(clear, Condition)):
        return
    if (when.operands, when.arithmetic, when.average, when.at) != (
        clear.operands,
        clear.arithmetic,
        clear.average,
        clear.at,
    ):
        return
    if isinstance(when.bound, str) or isinstance(clear.bound, str):
        return
    side, word = ("below", "at most") if when.is_above else ("above", "at least")
    beyond = clear.bound > when.bound if when.is_above else clear.bound < when.bound
    if clear.is_above == when.is_above or beyond:
        found = {("above" if clear.is_above else "below"): clear.bound}
        read.fault(
            f"{path}.clear", found, f"{side} a bound of {word} {when.bound:g}, else it would clear while it alarms"
        )


def _disinfection(table: Mapping[str, Any], read: TableReader) -> DisinfectionRules:
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
        uv_dose_low=read.number(table, path, "uv_dose_low_mj_cm2"),
        uv_dose_floor=read.number(table, path, "uv_dose_floor_mj_cm2"),
        absent_for_ms=read.minutes(table, path, "absent_for_min"),
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


def _instrument(table: Mapping[str, Any], silence: Mapping[str, Any], read: TableReader) -> InstrumentRules:
    read.only(table, "instrument.", INSTRUMENT_KEYS)
    read.only(silence, "silence.", SILENCE_KEYS)
    return InstrumentRules(
        out_of_range_for_ms=read.minutes(table, "instrument", "out_of_range_for_min"),
        out_of_range_severity=read.severity(table, "instrument", "out_of_range_severity"),
        flat_line_severity=read.severity(table, "instrument", "flat_line_severity"),
        maintenance_most_ms=read.minutes(table, "instrument", "maintenance_most_min"),
        silence_severity=read.severity(silence, "silence", "severity"),
        never_seen_severity=read.severity(silence, "silence", "never_seen_severity"),
    )
