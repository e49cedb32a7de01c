"""Measurements by hand at works with an instrument: the instrument held against them, and the water judged by them where they disagree.

Both are findings of their own, told from the database by the adviser. The evaluator goes on judging readings alone; whoever reads the
state of a works reads it with these findings (`qingquan.domain.state.with_hand_evidence`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, Engine

from alerts.apply import AlertSettings, apply_findings
from alerts.calendar import HolidayCalendar, default_calendar
from qingquan.clock import from_ms, to_ms
from qingquan.config import Config
from qingquan.domain.disinfection import HAND_CHECK, HAND_MEASURED, HAND_OVERDUE, NOT_FOR_THE_LOG, HandMeasurement
from qingquan.domain.findings import AS_OF, Finding, FindingKind, Severity, finding_id
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.parameters import Limit
from qingquan.domain.quality import HAND_EVERY_H, HandCheck, InstrumentCheck, Trust
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import PointKind, Works
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.ports import SeriesReader
from qingquan.store.sql.disinfection import hand_measurements, newest_hand_measurement, works_measured_since
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.maintenance import list_maintenance
from rules.quality.hand_checks import instrument_check
from rules.quality.hand_words import REPAIR_WORKING_DAYS, disagreement, disagreement_title, found_by_hand
from rules.reasons import TITLE
from rules.ruleset import DisinfectionRules

__all__ = ["HandChecks", "beside", "checks_of", "comparable"]

HOUR_MS = 3_600_000
LOOKED_BACK_MS = 90 * 24 * HOUR_MS
NEAR_MS = 15 * 60_000
"""How far from a hand sample a reading may lie to be compared with it."""
NEWS_MS = 24 * HOUR_MS
"""An older measurement says nothing of the water of today: it may put an instrument in doubt, and raises no alarm about water."""
RULE_VERSION = "1"
WATER_KINDS = (FindingKind.DISINFECTION_MISSING, FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_HIGH)

Key = tuple[str, str]


def beside(series: SeriesReader, key: SeriesKey, at: int, maintained: Iterable[tuple[int, int]] = ()) -> float | None:
    """Median of what an instrument read within 15 min of ``at`` [ms]; ``None`` without a reading that did not fail.

    ``maintained``: spans of maintenance of its point, whose readings are no evidence.
    """
    trend = series.range(key, at - NEAR_MS, at + NEAR_MS + 1)
    times, values = trend.observed_at, trend.columns["value"]
    sound = (trend.columns["flag"] != 4) & ~np.isnan(values)
    for start, end in maintained:
        sound &= (times < start) | (times > end)
    return float(np.median(values[sound])) if sound.any() else None


def comparable(measured: Iterable[HandMeasurement], since: int) -> dict[tuple[str, str], list[HandMeasurement]]:
    """Measurements from ``since`` that check an instrument, by point and parameter; those of hand-logged works are readings themselves."""
    found: dict[tuple[str, str], list[HandMeasurement]] = {}
    for one in measured:
        if one.observed_at >= since and one.sequence == NOT_FOR_THE_LOG:
            found.setdefault((one.point, one.parameter), []).append(one)
    return found


def checks_of(
    series: SeriesReader, works: Works, measured: Iterable[HandMeasurement], kept: Sequence[Maintenance], now: int
) -> list[InstrumentCheck]:
    """How the instruments of a works stand by what people measured in the last 90 days."""
    found = []
    for (point, parameter), ones in comparable(measured, now - LOOKED_BACK_MS).items():
        key = SeriesKey(works.county, works.id, point, parameter)
        spans = [(one.started_at, one.ended_at or now) for one in kept if one.point == point]
        checks = [
            HandCheck(one.observed_at, one.value, read, one.qualifier == "<")
            for one in ones
            if (read := beside(series, key, one.observed_at, spans)) is not None
        ]
        check = instrument_check(point, parameter, checks)
        if check is not None:
            found.append(check)
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """A works at a look: its comparisons, its newest measurement at the outlet, what is open about either."""

    works: Works
    checks: Sequence[InstrumentCheck]
    newest: HandMeasurement | None
    open: Sequence[Finding]
    now: int


class HandChecks:
    """Opens and closes findings about instruments and, where people found it out of limits, about water. One thread."""

    def __init__(self, config: Config, engine: Engine, series: SeriesReader, rules: DisinfectionRules) -> None:
        self._engine, self._series, self._clock, self._rules = engine, series, config.clock, rules
        self._language = "en" if config.language == "en" else "zh"
        self._settings = AlertSettings.from_config(config)
        self._parameters = load_standards().parameters
        self._calendar: HolidayCalendar = default_calendar()
        self._seen = -1

    def measured(self) -> set[Key]:
        """Works where something was measured since the last call; at the first one nothing is news, for all works get their turn."""
        with reading(self._engine) as connection:
            if self._seen < 0:
                self._seen = newest_hand_measurement(connection)
                return set()
            found, self._seen = works_measured_since(connection, self._seen)
        return found

    def look(self, works: Works) -> list[Finding]:
        """Bring a works' findings in line with what was measured there; what changed. Raises `StoreUnavailable`."""
        now = self._clock.now_ms()
        with reading(self._engine) as connection:
            measured = (
                [] if works.is_hand_logged else hand_measurements(connection, works.county, works.id, 200, 0).items
            )
            opened = _open_findings(connection, works)
            kept = list_maintenance(connection, works.county, works.id, 200) if measured else []
        if not measured and not opened:
            return []
        outlets = {point.id for point in works.points if point.kind is PointKind.OUTLET}
        at_outlet = [one for one in measured if one.point in outlets and one.parameter == works.disinfectant.residual]
        checks = checks_of(self._series, works, measured, kept, now)
        seen = _Seen(works, checks, max(at_outlet, key=lambda one: one.observed_at, default=None), opened, now)
        changed = [*self._instruments(seen), *self._water(seen)]
        if changed:
            with writing(self._engine) as connection:
                apply_findings(connection, changed, {(works.county, works.id): works}, now, self._settings)
        return changed

    def _instruments(self, seen: _Seen) -> list[Finding]:
        by_place = {(one.point, one.parameter): one for one in seen.checks}
        held = {(one.point, one.parameter): one for one in seen.open if one.kind is FindingKind.HAND_DISAGREES}
        changed = []
        for place, check in by_place.items():
            before = held.get(place)
            if check.trust is Trust.VERIFIED:
                changed += [] if before is None else [_ended(before, check.checks[0].at)]
                continue
            finding = self._disagreement(seen, check)
            if before is not None:
                finding = replace(finding, id=before.id, start=min(before.start, finding.start))
            if before is None or _news(finding) != _news(before):
                changed.append(finding)
        if seen.works.is_hand_logged:
            # Its people are the instrument now.
            changed += [_ended(one, seen.now) for one in held.values()]
        return changed

    def _disagreement(self, seen: _Seen, check: InstrumentCheck) -> Finding:
        works, newest, parameter = seen.works, check.checks[0], self._parameters[check.parameter]
        name = parameter.name_en if self._language == "en" else parameter.short_zh
        key = SeriesKey(works.county, works.id, check.point, check.parameter)
        repair_by = self._repair_by(works, check.checks[max(0, check.in_a_row - 2)].at)
        return Finding(
            id=finding_id(FindingKind.HAND_DISAGREES, HAND_CHECK, key, check.since), kind=FindingKind.HAND_DISAGREES,
            severity=Severity.MAJOR if check.trust is Trust.FAILED else Severity.MINOR, county=works.county, works=works.id,
            point=check.point, parameter=check.parameter, start=check.since, end=None, evidence_at=newest.at, extreme=newest.sensor,
            limit=None, clause="", rule=HAND_CHECK, rule_version=RULE_VERSION,
            reason=disagreement(check, name, parameter.unit, repair_by, works.time_zone, self._language),
            evidence={
                AS_OF: newest.at, TITLE: disagreement_title(newest, name, parameter.unit, self._language), "by_hand": newest.by_hand,
                "sensor": newest.sensor, "in_a_row": check.in_a_row, "next_hand_at": newest.at + HAND_EVERY_H * HOUR_MS,
                "repair_by": repair_by, **_overdue(seen, check),
            },
        )  # fmt: skip

    def _repair_by(self, works: Works, failed_at: int) -> int:
        """The end of the fifth working day after an instrument failed, by the works' clock."""
        zone = ZoneInfo(works.time_zone)
        day, left = from_ms(failed_at).astimezone(zone).date(), REPAIR_WORKING_DAYS
        while left:
            day += timedelta(days=1)
            left -= self._calendar.is_working(day)
        return to_ms(datetime.combine(day, time(23, 59), zone))

    def _water(self, seen: _Seen) -> list[Finding]:
        held = [one for one in seen.open if one.rule == HAND_MEASURED]
        newest = seen.newest
        if newest is None:
            return [_ended(one, seen.now) for one in held] if seen.works.is_hand_logged else []
        finding = self._found(seen, newest)
        if finding is None:
            return [_ended(one, newest.observed_at) for one in held]
        if any(one.kind is finding.kind and one.evidence_at == finding.evidence_at for one in held):
            return []
        if not held and seen.now - newest.observed_at > NEWS_MS:
            return []
        same = next((one for one in held if one.kind is finding.kind), None)
        if same is not None:
            finding = replace(finding, id=same.id, start=same.start)
        return [*(_ended(one, newest.observed_at) for one in held if one is not same), finding]

    def _found(self, seen: _Seen, newest: HandMeasurement) -> Finding | None:
        """What the newest measurement says of the water where the instrument does not say it, too."""
        check = next(
            (one for one in seen.checks if (one.point, one.parameter) == (newest.point, newest.parameter)), None
        )
        compared = check is not None and check.checks[0].at == newest.observed_at
        if compared and check is not None and not check.checks[0].is_out:
            return None
        works, code = seen.works, newest.parameter
        on = from_ms(newest.observed_at).astimezone(ZoneInfo(works.time_zone)).date()
        broken = _broken(newest, self._rules.floor.get(code), _limit(works, code, on))
        if broken is None:
            return None
        kind, bound, side, limit = broken
        sensor = check.checks[0].sensor if compared and check is not None else None
        parameter, key = self._parameters[code], SeriesKey(works.county, works.id, newest.point, code)
        name = parameter.name_en if self._language == "en" else parameter.short_zh
        evidence: dict[str, float | int | str] = {
            AS_OF: newest.observed_at,
            "by_hand": newest.value,
            "person": newest.person,
        }
        return Finding(
            id=finding_id(kind, HAND_MEASURED, key, newest.observed_at), kind=kind,
            severity=self._rules.severity[kind.removeprefix("disinfection_")], county=works.county, works=works.id, point=newest.point,
            parameter=code, start=newest.observed_at, end=None, evidence_at=newest.observed_at, extreme=newest.value, limit=bound,
            clause=f"{limit.standard} {limit.clause}" if limit is not None else "", rule=HAND_MEASURED, rule_version=RULE_VERSION,
            reason=found_by_hand(newest.value, newest.qualifier == "<", bound, side, sensor, name, parameter.unit, self._language),
            evidence=evidence | ({} if sensor is None else {"sensor": sensor}),
        )  # fmt: skip


def _overdue(seen: _Seen, check: InstrumentCheck) -> dict[str, int]:
    """Since when nobody has measured in place of an outlet's failed instrument, though it was time to."""
    is_outlet = any(point.id == check.point and point.kind is PointKind.OUTLET for point in seen.works.points)
    due = check.next_hand_at
    return {HAND_OVERDUE: due} if is_outlet and due is not None and seen.now > due else {}


def _news(one: Finding) -> tuple[int, Severity, bool]:
    return one.evidence_at, one.severity, HAND_OVERDUE in one.evidence


def _broken(
    newest: HandMeasurement, floor: float | None, limit: Limit | None
) -> tuple[FindingKind, float, int, Limit | None] | None:
    """Kind, bound, side of it and row of what a measurement breaks; "less than x" is judged at x."""
    value = newest.value
    if floor is not None and value <= floor:
        return FindingKind.DISINFECTION_MISSING, floor, 0, None
    if limit is not None and limit.min is not None and value < limit.min:
        return FindingKind.DISINFECTION_LOW, limit.min, -1, limit
    if limit is not None and limit.max is not None and value > limit.max and newest.qualifier != "<":
        return FindingKind.DISINFECTION_HIGH, limit.max, 1, limit
    return None


def _limit(works: Works, code: str, on: date) -> Limit | None:
    return load_profiles().binding(works.county).limit_on(works, PointKind.OUTLET, code, on)


def _open_findings(connection: Connection, works: Works) -> list[Finding]:
    kinds = [FindingKind.HAND_DISAGREES, *WATER_KINDS]
    found = list_findings(connection, county=works.county, works=works.id, kinds=kinds, is_open=True, limit=50).items
    return [one for one in found if one.rule in (HAND_CHECK, HAND_MEASURED)]


def _ended(one: Finding, at: int) -> Finding:
    return replace(one, end=max(one.start, at), evidence={**one.evidence, AS_OF: max(at, int(one.evidence[AS_OF]))})
