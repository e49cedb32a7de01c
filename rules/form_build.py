"""A works' register entry, standards and ruleset to the rows of its form; see `rules.forms`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.parameters import Limit, Parameter, ParameterKind
from qingquan.domain.profiles import Binding
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from rules import kernel
from rules.compound_plan import CompoundRows, Subject, reachable
from rules.forms import Form
from rules.layout import LOCAL_BITS, NO_SLOT, UnitTimer
from rules.meanings import MeaningTable, TimerMeaning
from rules.ruleset import Rule, Ruleset

__all__ = ["FormRows", "Shared", "form_rows"]

ALWAYS = 2**62
HOUR = 3_600_000
# Disinfection is judged where the water leaves the works; a signal may come from another point of the works.
UNIT_SIGNALS = ("flow", "doser_running", "disinfectant_level", "sample_flow")
# Instruments that usually hang on the sample line of the residual's analyser.
SAMPLE_LINE = ("turbidity", "ph", "temperature")
MAINTENANCE = "maintenance"
UV_DOSE, UV_LAMP = "uv_dose", "uv_lamp"

Row = tuple[object, ...]


@dataclass(slots=True)
class Shared:
    """What forms are built from, and the tables they share: kinds of series and timers, meanings, limits of outlets."""

    parameters: Mapping[str, Parameter]
    binding_of: Callable[[str], Binding]
    ruleset: Ruleset
    meanings: MeaningTable = field(default_factory=MeaningTable)
    series_kinds: dict[Row, int] = field(default_factory=dict)
    timer_kinds: dict[Row, int] = field(default_factory=dict)
    unit_limits: list[Row] = field(default_factory=list)
    unit_limit_rows: list[Limit | None] = field(default_factory=list)
    zones: list[tuple[int, int]] = field(default_factory=list)
    unit_limits_at: dict[Row, int] = field(default_factory=dict)
    zone_rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)

    def binding(self, county: str) -> Binding:
        """What binds in a county."""
        found = self.bindings.get(county)
        if found is None:
            found = self.bindings[county] = self.binding_of(county)
        return found


class FormRows(NamedTuple):
    """All rows of a form: equal ones are the same form, whatever the works are called."""

    names: Form
    series: tuple[Row, ...]
    expected: tuple[bool, ...]
    timer_kinds: tuple[int, ...]
    meanings: tuple[int, ...]
    units: tuple[Row, ...]
    compounds: tuple[Row, ...]
    leaves: tuple[Row, ...]
    nodes: tuple[tuple[int, int], ...]
    room: int
    stale_ms: int


def form_rows(shared: Shared, works: Works, extra: Sequence[SeriesKey]) -> FormRows:
    """The rows of a works.

    Raises
    ------
    ValueError
        If the works has more series than the order key can number (1,024).
    """
    return _Build(shared, works).rows(extra)


@lru_cache(maxsize=4096)
def _ms(day: date, zone: str) -> int:
    return int(datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC).timestamp() * 1000)


def _beside(bound: float, margin: float) -> float:
    """A bound moved by a margin, as people add decimals: 0.1 + 0.02 is 0.12, which a reading of 0.12 meets."""
    return round(bound + margin, 9)


def _span(limit: Limit, zone: str) -> tuple[int, int]:
    """When a row is in force [ms]: from the first midnight to the one after its last day, by the works' clock."""
    return _ms(limit.valid_from, zone), _ms(limit.valid_to + timedelta(1), zone) if limit.valid_to else ALWAYS


class _UnitLimit(NamedTuple):
    """Bounds of an outlet's disinfection over a span of time, and the row of a standard they come from, if any."""

    span: tuple[int, int]
    low: float
    low_clear: float
    high: float
    source: Limit | None


class _Levels(NamedTuple):
    """Where a residual (or an ultraviolet dose) counts as gone, where that begins and is over, and what it has to keep to."""

    floor: float
    begin: float
    clear: float
    very_high: float
    rows: list[_UnitLimit]


class _Build:
    """Collects the rows of one works; places count from its own first series, timer, unit and leaf."""

    def __init__(self, shared: Shared, works: Works) -> None:
        self.shared = shared
        self.parameters = shared.parameters
        self.ruleset = shared.ruleset
        self.works = works
        self.series: list[SeriesKey] = []
        self.series_rows: list[Row] = []
        self.timer_rows: list[int] = []
        self.timer_kind_rows: list[Row] = []
        self.timer_names: list[tuple[int, tuple[str, ...]]] = []
        self.meaning_rows: list[int] = []
        self.unit_rows: list[Row] = []
        self.compounds = CompoundRows(shared.zones, shared.zone_rows)
        self._series_number = NO_SLOT
        self._slots: dict[SeriesKey, int] = {}

    def rows(self, extra: Sequence[SeriesKey]) -> FormRows:
        works = self.works
        rows = self._series_of(works, extra)
        if len(rows) > 1 << LOCAL_BITS:
            raise ValueError(f"works {works.county}/{works.id} has {len(rows)} series; at most {1 << LOCAL_BITS}")
        slots = {key: rank for rank, (key, _, _) in enumerate(rows)}
        self._slots = slots
        units = self._units_of(works, slots)
        feeding = {slot for unit in units for slot in unit if slot != NO_SLOT}
        if units:
            feeding |= {slot for key, slot in slots.items() if key.parameter == MAINTENANCE}
        timers = [self._add_series(works, key, point, slots, feeding) for key, point, _ in rows]
        for number, unit in enumerate(units):
            self._add_unit(works, unit, self._partner_of(number, units))
        self._add_compounds(works, rows, slots)
        # One reading: its gap, its own timers, and those of the units and compounds it feeds.
        room = 1 + max(timers, default=0) + len(units) * UnitTimer.FINDINGS + 2 * len(self.compounds.compounds)
        window = works.lateness_s * 1000
        # Two windows and a little, for both checkpoints stand a window apart; a province's readings of them are its largest memory.
        rounds = max(2.05 * window / (works.cadence_s * 1000) + 2, 10)
        # Whole cache lines of four readings.
        capacity = (round(rounds * len(rows)) + 4) // 4 * 4
        names = Form(
            tuple((key.point, key.parameter) for key in self.series), tuple(self.timer_names),
            tuple(unit[0] for unit in units), tuple(self.compounds.leaf_names), capacity, window,
        )  # fmt: skip
        return FormRows(
            names, tuple(self.series_rows), tuple(is_expected for _, _, is_expected in rows), tuple(self.timer_rows),
            tuple(self.meaning_rows), tuple(self.unit_rows), tuple(self.compounds.compounds), tuple(self.compounds.leaves),
            tuple(self.compounds.nodes), room, works.stale_after_s * 1000,
        )  # fmt: skip

    def _series_of(self, works: Works, extra: Sequence[SeriesKey]) -> list[tuple[SeriesKey, SamplingPoint, bool]]:
        points = {point.id: point for point in works.points}
        rows = [
            # People say when they begin and when they end; nobody expects them to go on saying so.
            (SeriesKey(works.county, works.id, point.id, parameter), point, parameter != MAINTENANCE)
            for point in works.points
            for parameter in dict.fromkeys(point.parameters)
        ]
        known = {key for key, _, _ in rows}
        unasked = [(key, points[key.point], False) for key in extra if key.point in points and key not in known]
        # What nobody expects never keeps a works from being judged by what is expected.
        rows += unasked[: max(0, (1 << LOCAL_BITS) - len(rows))]
        # Signals that explain a residual come before it at the same time, so that it is judged knowing them.
        order = {ParameterKind.STATE: 0, ParameterKind.OPERATION: 1, ParameterKind.QUALITY: 2}
        residuals = works.disinfectant.residuals
        return sorted(
            (row for row in rows if row[0].parameter in self.parameters),
            key=lambda row: (row[0].parameter in residuals, order[self.parameters[row[0].parameter].kind], row[0]),
        )

    def _units_of(self, works: Works, slots: Mapping[SeriesKey, int]) -> list[tuple[int, ...]]:
        units = []
        for point in works.points:
            if point.kind is PointKind.OUTLET:
                signals = tuple(self._signal(works, point, name, slots) for name in UNIT_SIGNALS)
                keys = [SeriesKey(works.county, works.id, point.id, code) for code in works.disinfectant.residuals]
                units += [(slots[key], *signals) for key in keys if key in slots]
                if works.disinfectant is Disinfectant.UV:
                    units += self._uv_unit(SeriesKey(works.county, works.id, point.id, UV_DOSE), signals, slots)
        return units

    def _uv_unit(
        self, dose: SeriesKey, signals: tuple[int, ...], slots: Mapping[SeriesKey, int]
    ) -> list[tuple[int, ...]]:
        """Ultraviolet light leaves nothing in the water: its dose stands for the residual, the lamp for the dosing pump.

        Where only the lamp is reported, its state has to do for both.
        """
        flow, _, _, _ = signals
        lamp = slots.get(dose._replace(parameter=UV_LAMP), NO_SLOT)
        if dose in slots:
            return [(slots[dose], flow, lamp, NO_SLOT, NO_SLOT)]
        return [(lamp, flow, NO_SLOT, NO_SLOT, NO_SLOT)] if lamp != NO_SLOT else []

    def _levels(self, works: Works, code: str) -> _Levels:
        """What an outlet's disinfection is held against, by the parameter that shows it."""
        rules = self.ruleset.disinfection
        if code == UV_LAMP:
            return _Levels(0.5, 0.5, 0.5, np.inf, [])
        if code == UV_DOSE:
            low, floor = rules.uv_dose_low, rules.uv_dose_floor
            # 5 % above: a lamp warms up to its dose and stays there.
            house = _UnitLimit((-ALWAYS, ALWAYS), low, round(1.05 * low, 9), np.inf, None)
            return _Levels(floor, floor, _beside(floor, floor), np.inf, [house])
        floor = rules.floor[code]
        rows = [
            _UnitLimit(
                _span(row, works.time_zone),
                row.min if row.min is not None else -np.inf,
                _beside(row.min, rules.low_clear_margin[code]) if row.min is not None else -np.inf,
                row.max if row.max is not None else np.inf,
                row,
            )
            for row in self._limits(works, code, PointKind.OUTLET)
        ]
        begin, clear = (_beside(floor, margin[code]) for margin in (rules.floor_begin_margin, rules.floor_clear_margin))
        return _Levels(floor, begin, clear, rules.very_high[code], rows)

    def _sample_line(self, key: SeriesKey, has_switch: bool) -> tuple[int, ...]:
        """What else hangs on the sample line of a residual's analyser; nothing is asked where a switch tells of the flow."""
        here = [
            NO_SLOT if has_switch else self._slots.get(key._replace(parameter=code), NO_SLOT) for code in SAMPLE_LINE
        ]
        return tuple(here)

    def _signal(self, works: Works, point: SamplingPoint, name: str, slots: Mapping[SeriesKey, int]) -> int:
        """The series of a signal at the outlet itself, else anywhere in the works (the cell's own flow: only there)."""
        here = slots.get(SeriesKey(works.county, works.id, point.id, name))
        if here is not None or name == "sample_flow":
            return NO_SLOT if here is None else here
        return next((slot for key, slot in slots.items() if key.parameter == name), NO_SLOT)

    def _add_series(
        self,
        works: Works,
        key: SeriesKey,
        point: SamplingPoint,
        slots: Mapping[SeriesKey, int],
        feeding: set[int],
    ) -> int:
        """Add a series with its timers; how many those are."""
        parameter = self.parameters[key.parameter]
        slot, first = len(self.series), len(self.timer_rows)
        self._series_number = slot
        self.series.append(key)
        stale = works.stale_after_s * 1000
        is_residual = key.parameter in works.disinfectant.residuals
        by_hand = is_residual and works.is_hand_logged
        # People who read the same colour on two days have no stuck instrument.
        flat_suspect_h = 0.0 if by_hand else parameter.flat_suspect_h
        self._instrument_timers(key, flat_suspect_h > 0, stale)
        for rule in self.ruleset.rules:
            # Of two residuals each has its own upper limit; the lower one is asked of the works' main residual.
            own = works.disinfectant.residuals if rule.is_above else (works.disinfectant.residual,)
            wanted = own if rule.parameter == "residual" else (rule.parameter,)
            # Where both are measured one of them suffices: a rule over both asks for the lower limits.
            is_other_enough = rule.parameter == "residual" and not rule.is_above and self._has_both(works, key, slots)
            if key.parameter in wanted and point.kind in rule.points and not is_other_enough:
                self._rule_timers(works, point, key, self._at_once(rule) if by_hand else rule, stale)
        is_beyond = point.kind in (PointKind.NETWORK, PointKind.NETWORK_END)
        if is_residual and is_beyond and not self._has_both(works, key, slots):
            self._absence_timer(key, by_hand, stale)
        flow = self._signal(works, point, "flow", slots) if parameter.kind is ParameterKind.QUALITY else NO_SLOT
        maintenance = (
            slots.get(key._replace(parameter=MAINTENANCE), NO_SLOT) if key.parameter != MAINTENANCE else NO_SLOT
        )
        floor = self.ruleset.disinfection.floor.get(key.parameter, 0.0) if is_residual else -np.inf
        span = parameter.span_at(point.kind)
        kind = (
            len(self.timer_rows) - first, *span, parameter.flat_tolerance, floor, round(flat_suspect_h * HOUR),
            round(parameter.flat_fail_h * HOUR), slot in feeding, self.ruleset.instrument.maintenance_most_ms,
            *self._quiet(*span, first),
        )  # fmt: skip
        number = self.shared.series_kinds.setdefault(kind, len(self.shared.series_kinds))
        self.series_rows.append((first, flow, maintenance, number))
        return len(self.timer_rows) - first

    def _quiet(self, low: float, high: float, first: int) -> tuple[float, float]:
        """From where to where, within the instrument's range, a value makes none of the timers from ``first`` on begin,
        whatever edition of the standard is in force."""
        for operation, bound, *_ in self.timer_kind_rows[first:]:
            assert isinstance(bound, float)
            if operation == kernel.ABOVE:
                high = min(high, bound)
            elif operation == kernel.BELOW:
                low = max(low, bound)
        return low, high

    def _add_compounds(
        self, works: Works, rows: Sequence[tuple[SeriesKey, SamplingPoint, bool]], slots: Mapping[SeriesKey, int]
    ) -> None:
        """Rules of several conditions, each with a timer for what it says and one for that it cannot be evaluated."""
        zone, stale = works.time_zone, works.stale_after_s * 1000
        kinds = FindingKind.EXCEEDANCE, FindingKind.COMPOUND

        def limits(parameter: str, kind: PointKind) -> list[tuple[Limit, int, int]]:
            return [(row, *_span(row, zone)) for row in self._limits(works, parameter, kind)]

        for rule in self.ruleset.compounds:
            wanted = works.disinfectant.residual if rule.parameter == "residual" else rule.parameter
            for key, point, _ in rows:
                if key.parameter != wanted or point.kind not in rule.points or rule.when is None:
                    continue
                subject = Subject(slots[key], key, point)
                if not reachable(works, rule.when, subject, slots):
                    continue
                timer = len(self.timer_rows)
                bound = self.compounds.add(works, rule, subject, slots, limits, timer)
                if bound is None:
                    continue
                self._series_number = subject.slot
                valid = self._validity(rule, works)
                says = TimerMeaning(
                    kinds[not rule.is_single], rule.severity, key, rule.id, bound if rule.is_single else np.nan, rule.basis,
                    rule_version=rule.version, fingerprint=rule.fingerprint,
                )  # fmt: skip
                self._timer(
                    says, kernel.COMPOUND, 0.0, 0.0, rule.for_ms, rule.clear_ms, rule.clear_samples, *valid, stale
                )
                fails = TimerMeaning(
                    FindingKind.NOT_EVALUATED, Severity.MINOR, key, rule.id, np.nan, "",
                    rule_version=rule.version, fingerprint=rule.fingerprint,
                )  # fmt: skip
                self._timer(fails, kernel.COMPOUND, 0.0, 0.0, rule.unknown_for_ms, 0, 1, *valid, ALWAYS)

    @staticmethod
    def _validity(rule: Rule, works: Works) -> tuple[int, int]:
        """When a rule is in force [ms], by the works' clock; its last day is included."""
        first = _ms(rule.valid_from, works.time_zone) if rule.valid_from else -ALWAYS
        return first, _ms(rule.valid_to + timedelta(1), works.time_zone) if rule.valid_to else ALWAYS

    @staticmethod
    def _has_both(works: Works, key: SeriesKey, slots: Mapping[SeriesKey, int]) -> bool:
        codes = works.disinfectant.residuals
        return len(codes) > 1 and all(key._replace(parameter=code) in slots for code in codes)

    def _absence_timer(self, key: SeriesKey, by_hand: bool, stale: int) -> None:
        """Nothing left of the residual beyond the outlet: a loss on the way, whatever the standard in force asks there."""
        rules = self.ruleset.disinfection
        floor = rules.floor[key.parameter]
        self._timer(
            TimerMeaning(FindingKind.DISINFECTION_MISSING, rules.severity["absent"], key, "disinfection-absent", floor, ""),
            kernel.BELOW, float(np.nextafter(floor, np.inf)), _beside(floor, rules.floor_clear_margin[key.parameter]),
            0 if by_hand else rules.absent_for_ms, 0 if by_hand else rules.clear_ms, 1 if by_hand else rules.clear_samples,
            -ALWAYS, ALWAYS, stale,
        )  # fmt: skip

    def _at_once(self, rule: Rule) -> Rule:
        """The rule for measurements by hand: each stands for the hours until the next, so none has to be confirmed by time."""
        return replace(rule, for_ms=0, clear_ms=0, clear_samples=1)

    def _instrument_timers(self, key: SeriesKey, tests_flat: bool, stale: int) -> None:
        rules = self.ruleset.instrument
        self._timer(
            TimerMeaning(FindingKind.OUT_OF_RANGE, rules.out_of_range_severity, key, "instrument-range", np.nan, ""),
            kernel.OUTSIDE, 0.0, 0.0, rules.out_of_range_for_ms, 0, 1, -ALWAYS, ALWAYS, stale,
        )  # fmt: skip
        if tests_flat:
            self._timer(
                TimerMeaning(FindingKind.FLAT_LINE, rules.flat_line_severity, key, "flat-line", np.nan, ""),
                kernel.FLAT, 0.0, 0.0, 0, 0, 1, -ALWAYS, ALWAYS, stale,
            )  # fmt: skip

    def _rule_timers(self, works: Works, point: SamplingPoint, key: SeriesKey, rule: Rule, stale: int) -> None:
        first, last = self._validity(rule, works)
        for bound, limit in self._bounds(works, point, key.parameter, rule):
            since, until = _span(limit, works.time_zone) if limit else (-ALWAYS, ALWAYS)
            if max(since, first) >= min(until, last):
                continue
            sign = -1 if rule.is_above else 1
            self._timer(
                TimerMeaning(
                    FindingKind.EXCEEDANCE, rule.severity, key, rule.id, bound,
                    f"{limit.standard} {limit.clause}" if limit else "", limit.id if limit else "",
                    rule_version=rule.version, fingerprint=rule.fingerprint,
                ),
                kernel.ABOVE if rule.is_above else kernel.BELOW, bound,
                rule.clear_at if rule.clear_at is not None else _beside(bound, sign * rule.clear_margin),
                rule.for_ms, rule.clear_ms, rule.clear_samples,
                max(since, first), min(until, last), stale,
            )  # fmt: skip

    def _bounds(
        self, works: Works, point: SamplingPoint, parameter: str, rule: Rule
    ) -> list[tuple[float, Limit | None]]:
        if not isinstance(rule.bound, str):
            return [(rule.bound, None)]
        side: Callable[[Limit], float | None] = (
            (lambda row: row.max) if rule.bound == "limit.max" else (lambda row: row.min)
        )
        rows = self._limits(works, parameter, point.kind)
        return [(bound, row) for row in rows if (bound := side(row)) is not None]

    def _limits(self, works: Works, parameter: str, kind: PointKind) -> list[Limit]:
        """Rows for which a works is judged; of the national standard, those of the editions the ruleset goes by."""
        binding = self.shared.binding(works.county)
        own, wanted = binding.own_standards, self.ruleset.standard
        found = binding.limits_at(works, kind, parameter)
        return [row for row in found if row.standard.startswith(wanted) or row.standard in own]

    def _timer(self, meaning: TimerMeaning, operation: int, bound: float, clear: float, for_ms: int, clear_ms: int,
               samples: int, valid_from: int, valid_to: int, gap: int) -> None:  # fmt: skip
        rank, m = self._series_number, meaning
        self.timer_names.append((rank, (m.kind.value, m.rule, m.limit_id, m.fingerprint)))
        self.meaning_rows.append(self.shared.meanings.number(meaning))
        kind = (operation, bound, clear, for_ms, clear_ms, samples, valid_from, valid_to, gap)
        self.timer_kind_rows.append(kind)
        self.timer_rows.append(self.shared.timer_kinds.setdefault(kind, len(self.shared.timer_kinds)))

    def _partner_of(self, number: int, units: Sequence[tuple[int, ...]]) -> int:
        """Number of the unit that judges the other residual of the same outlet; `NO_SLOT` where there is none."""
        point = self.series[units[number][0]].point
        others = [n for n, unit in enumerate(units) if n != number and self.series[unit[0]].point == point]
        return others[0] if others else NO_SLOT

    def _add_unit(self, works: Works, slots: tuple[int, ...], partner: int) -> None:
        rules = self.ruleset.disinfection
        if works.is_hand_logged:
            rules = replace(
                rules, low_for_ms=0, high_for_ms=0, very_high_for_ms=0, missing_floor_for_ms=0, missing_both_for_ms=0,
                clear_ms=0, clear_samples=1,
            )  # fmt: skip
        residual, flow, doser, stock, sample_flow = slots
        key = self.series[residual]
        self._series_number = residual
        code, stale = key.parameter, works.stale_after_s * 1000
        first = len(self.timer_rows)
        times = {
            UnitTimer.LOW: (FindingKind.DISINFECTION_LOW, "low", rules.low_for_ms),
            UnitTimer.MISSING: (FindingKind.DISINFECTION_MISSING, "missing", 0),
            UnitTimer.HIGH: (FindingKind.DISINFECTION_HIGH, "high", rules.high_for_ms),
            UnitTimer.VERY_HIGH: (FindingKind.DISINFECTION_HIGH, "very_high", rules.very_high_for_ms),
            UnitTimer.UNKNOWN: (FindingKind.DISINFECTION_UNKNOWN, "unknown", rules.unknown_for_ms),
            UnitTimer.STANDING: (FindingKind.DISINFECTION_UNKNOWN, "standing", rules.standing_for_ms),
            UnitTimer.FLOOR: (FindingKind.DISINFECTION_MISSING, "", rules.missing_floor_for_ms),
            UnitTimer.EQUIPMENT: (FindingKind.DISINFECTION_MISSING, "", rules.missing_equipment_for_ms),
            UnitTimer.BOTH: (FindingKind.DISINFECTION_MISSING, "", rules.missing_both_for_ms),
            UnitTimer.IDLE: (FindingKind.DISINFECTION_UNKNOWN, "", rules.idle_for_ms),
        }
        levels = self._levels(works, code)
        spans = [row.span for row in levels.rows]
        in_force = min((a for a, _ in spans), default=ALWAYS), max((b for _, b in spans), default=ALWAYS)
        bounds = {UnitTimer.MISSING: levels.floor, UnitTimer.VERY_HIGH: levels.very_high}
        for place in range(UnitTimer.COUNT):
            kind, word, for_ms = times[place]
            rule = f"disinfection-{word.replace('_', '-')}" if word else f"disinfection-part-{place}"
            meaning = TimerMeaning(
                kind,
                rules.severity[word] if word else Severity.INFO,
                key,
                rule,
                bounds.get(place, np.nan),
                "",
                speaks=bool(word),
            )
            valid = in_force if place in (UnitTimer.LOW, UnitTimer.HIGH) else (-ALWAYS, ALWAYS)
            self._timer(meaning, kernel.UNIT, 0.0, 0.0, for_ms, rules.clear_ms, rules.clear_samples, *valid, stale)
        limits = [(*row.span, row.low, row.low_clear, row.high) for row in levels.rows]
        same = *limits, tuple(row.source.id if row.source else "" for row in levels.rows)
        limit_first = self.shared.unit_limits_at.setdefault(same, len(self.shared.unit_limits))
        if limit_first == len(self.shared.unit_limits):
            self.shared.unit_limit_rows += [row.source for row in levels.rows]
            self.shared.unit_limits += limits
        self.unit_rows.append(
            (
                first, residual, flow, doser, stock, sample_flow, partner,
                *self._sample_line(key, sample_flow != NO_SLOT), rules.standing_turbidity, rules.standing_ph,
                rules.standing_temperature, rules.standing_most_ms, levels.floor,
                levels.begin, levels.clear, levels.very_high, rules.flow_min, rules.stock_empty, limit_first, len(levels.rows),
            )
        )  # fmt: skip
