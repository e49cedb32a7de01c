"""Compliance of works over one day, reckoned from the stores: readings, findings, the limit that live judging uses."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from qingquan.domain.compliance import Compliance, ComplianceVerdict
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind
from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Limit, Parameter, ParameterKind
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Equipment, PointKind, SamplingPoint, Works
from qingquan.standards.profiles import ProfileTables
from qingquan.store.ports import Readings
from rules.compliance import WINDOWS_MS, Tasks, bound_of, statistics, usable_readings
from rules.compliance_periods import verdict
from rules.disinfection_time import known_spans, state_times

__all__ = ["KINDS", "DayReckoning", "Span", "day_span", "hold_ms", "month_days", "month_span", "reckoned", "reckoning"]

KINDS = (
    FindingKind.EXCEEDANCE, FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING, FindingKind.DISINFECTION_HIGH,
    FindingKind.DISINFECTION_UNKNOWN, FindingKind.OUT_OF_RANGE, FindingKind.FLAT_LINE,
)  # fmt: skip
"""Findings that figures depend on."""

_INSTRUMENT = (FindingKind.OUT_OF_RANGE, FindingKind.FLAT_LINE)
_STATES = {
    FindingKind.DISINFECTION_LOW: DisinfectionState.LOW,
    FindingKind.DISINFECTION_MISSING: DisinfectionState.MISSING,
    FindingKind.DISINFECTION_HIGH: DisinfectionState.HIGH,
    FindingKind.DISINFECTION_UNKNOWN: DisinfectionState.UNKNOWN,
}
_COUNTED = (FindingKind.EXCEEDANCE, *(kind for kind in _STATES if kind is not FindingKind.DISINFECTION_UNKNOWN))
LEAST_HOLD_S = 900
MISSED_INTERVALS = 3


class Span(NamedTuple):
    """start <= t < end [ms since epoch]."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Series:
    """A series with the row that judges it that day."""

    works: Works
    point: SamplingPoint
    key: SeriesKey
    limit: Limit
    held_out: tuple[tuple[int, int], ...]
    findings: int


@dataclass(frozen=True, slots=True)
class DayReckoning:
    """What is to be asked of the series store for a day of some works: ``keys`` from ``since`` to ``until`` [ms]."""

    day: str
    span: Span
    judged: tuple[_Series, ...]
    flows: Mapping[tuple[str, str], SeriesKey]
    states: Mapping[tuple[str, str], Mapping[DisinfectionState, Sequence[tuple[int, int]]]]
    flow_min: float

    @property
    def keys(self) -> list[SeriesKey]:
        """Judged series, then flows."""
        return [one.key for one in self.judged] + list(self.flows.values())

    @property
    def since(self) -> int:
        """From when on readings speak for the day."""
        return self.span.start - max((hold_ms(one.works) for one in self.judged), default=0)

    @property
    def until(self) -> int:
        """Where the day, or what has passed of it, ends."""
        return self.span.end


def hold_ms(works: Works) -> int:
    """How long a reading speaks at most [ms]: until the series counts as silent, by the time of measuring.

    The wait for a buffered upload is no part of it: what was not measured is not known, however late it could come.
    """
    return max(LEAST_HOLD_S, MISSED_INTERVALS * works.cadence_s) * 1000


@lru_cache(maxsize=4096)
def day_span(day: str, zone: str) -> Span:
    """A day (2026-05-03) by the works' clock; 23 or 25 hours where the clock is changed."""
    first = date.fromisoformat(day)
    return Span(_midnight(first, zone), _midnight(first + timedelta(1), zone))


@lru_cache(maxsize=1024)
def month_span(month: str, zone: str) -> Span:
    """A calendar month (2026-05) by the works' clock."""
    first = date.fromisoformat(f"{month}-01")
    return Span(_midnight(first, zone), _midnight((first + timedelta(32)).replace(day=1), zone))


def month_days(month: str) -> list[str]:
    """All days of a month, in order."""
    first = date.fromisoformat(f"{month}-01")
    days = (first + timedelta(n) for n in range(31))
    return [day.isoformat() for day in days if day.month == first.month]


def _midnight(day: date, zone: str) -> int:
    return round(datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC).timestamp() * 1000)


def reckoning(
    day: str,
    works: Sequence[Works],
    now: int,
    profiles: ProfileTables,
    parameters: Mapping[str, Parameter],
    findings: Sequence[Finding],
    flow_min: float,
) -> DayReckoning:
    """What a day of some works of one time zone consists of.

    Parameters
    ----------
    day, works
        The day, and works that share a time zone.
    now
        Cuts a day off that still lasts [ms].
    profiles, parameters
        Where limits come from: the same choice as live judging.
    findings
        Of `KINDS`, that held during the day.
    flow_min
        Flow up to which the works counts as standing still [m3/h].
    """
    whole = day_span(day, works[0].time_zone)
    span = Span(whole.start, max(whole.start, min(whole.end, now)))
    on = date.fromisoformat(day)
    by_place: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        by_place[finding.county, finding.works, finding.point].append(finding)
    judged: list[_Series] = []
    flows: dict[tuple[str, str], SeriesKey] = {}
    states: dict[tuple[str, str], dict[DisinfectionState, list[tuple[int, int]]]] = {}
    for one in works:
        binding = profiles.binding(one.county)
        flow = _flow_of(one)
        if flow is not None:
            flows[one.county, one.id] = flow
        for point in one.points:
            here = by_place.get((one.county, one.id, point.id), [])
            for code in dict.fromkeys(point.parameters):
                if code not in parameters or parameters[code].kind is not ParameterKind.QUALITY:
                    continue
                limit = binding.limit_on(one, point.kind, code, on)
                if limit is not None:
                    judged.append(_series(one, point, code, limit, here, span))
            if point.kind is PointKind.OUTLET:
                states.setdefault((one.county, one.id), _state_spans(one, here, span))
    return DayReckoning(day, span, tuple(judged), flows, states, flow_min)


def _series(
    works: Works, point: SamplingPoint, code: str, limit: Limit, findings: Sequence[Finding], span: Span
) -> _Series:
    of_series = [finding for finding in findings if finding.parameter == code]
    held = tuple(
        (finding.start, span.end if finding.end is None else finding.end)
        for finding in of_series
        if finding.kind in _INSTRUMENT
    )
    counted = sum(finding.kind in _COUNTED for finding in of_series)
    return _Series(works, point, SeriesKey(works.county, works.id, point.id, code), limit, held, counted)


def _state_spans(
    works: Works, findings: Sequence[Finding], span: Span
) -> dict[DisinfectionState, list[tuple[int, int]]]:
    spans: dict[DisinfectionState, list[tuple[int, int]]] = defaultdict(list)
    if works.equipment is Equipment.NOT_EQUIPPED:
        spans[DisinfectionState.NOT_EQUIPPED].append(span)
    for finding in findings:
        if finding.kind in _STATES:
            end = span.end if finding.end is None else finding.end
            spans[_STATES[finding.kind]].append((finding.start, end))
    return spans


def _flow_of(works: Works) -> SeriesKey | None:
    """The flow at the outlet, else anywhere in the works."""
    places = sorted((point for point in works.points if "flow" in point.parameters), key=_is_not_outlet)
    return SeriesKey(works.county, works.id, places[0].id, "flow") if places else None


def _is_not_outlet(point: SamplingPoint) -> bool:
    return point.kind is not PointKind.OUTLET


def reckoned(asked: DayReckoning, readings: Readings) -> list[Compliance]:
    """Figures of every judged series, from the readings of ``asked.keys`` between ``asked.since`` and ``asked.until``."""
    judged = asked.judged
    count = len(judged)
    last = int(readings.first[count])
    usable = _usable(judged, readings, last)
    bounds = [bound_of(one.limit) for one in judged]
    tasks = Tasks(
        np.full(count, asked.span.start, np.int64),
        np.full(count, asked.span.end, np.int64),
        np.array([hold_ms(one.works) for one in judged], np.int64),
        np.array([WINDOWS_MS.get(one.limit.basis, 0) for one in judged], np.int64),
        np.array([bound.low for bound in bounds], np.float64),
        np.array([bound.high for bound in bounds], np.float64),
    )
    rows = statistics(
        tasks, readings.first[: count + 1], readings.observed_at[:last], readings.value[:last], usable
    ).tolist()  # fmt: skip
    idle = {
        place: _idle_spans(asked, readings, count + number, place) for number, place in enumerate(asked.flows)
    }  # fmt: skip
    figures = []
    for number, (one, row) in enumerate(zip(judged, rows, strict=True)):
        found = _figures(asked, one, row)
        if one.point.kind is PointKind.OUTLET and one.key.parameter == one.works.disinfectant.residual:
            part = slice(int(readings.first[number]), int(readings.first[number + 1]))
            known = known_spans(
                readings.observed_at[part], usable[part], hold_ms(one.works), asked.span.start, asked.span.end
            )
            place = (one.works.county, one.works.id)
            spans = {
                **asked.states.get(place, {}), DisinfectionState.OK: known, DisinfectionState.IDLE: idle.get(place, []),
            }  # fmt: skip
            found = replace(found, states=state_times(asked.span.start, asked.span.end, spans))
        figures.append(replace(found, verdict=verdict(found)))
    return figures


def _usable(judged: Sequence[_Series], readings: Readings, last: int) -> npt.NDArray[np.bool_]:
    at, value, flag = readings.observed_at[:last], readings.value[:last], readings.flag[:last]
    usable = usable_readings(at, value, flag)
    for number, one in enumerate(judged):
        if one.held_out:
            part = slice(int(readings.first[number]), int(readings.first[number + 1]))
            is_residual = one.key.parameter in one.works.disinfectant.residuals
            lost_below = one.limit.min if is_residual and one.limit.min is not None else -np.inf
            usable[part] = usable_readings(at[part], value[part], flag[part], one.held_out, lost_below)
    return usable


def _idle_spans(
    asked: DayReckoning, readings: Readings, number: int, place: tuple[str, str]
) -> list[tuple[int, int]]:  # fmt: skip
    """When the works is known to have stood still."""
    part = slice(int(readings.first[number]), int(readings.first[number + 1]))
    works = next((one.works for one in asked.judged if (one.works.county, one.works.id) == place), None)
    if works is None:
        return []
    value, flag = readings.value[part], readings.flag[part]
    stands = np.isin(flag, (Flag.PASS, Flag.NOT_EVALUATED)) & (value <= asked.flow_min)
    return known_spans(readings.observed_at[part], stands, hold_ms(works), asked.span.start, asked.span.end)


def _figures(asked: DayReckoning, one: _Series, row: tuple[float, ...]) -> Compliance:
    received, usable, met, compliant, exceeding, integral, worst, worst_at, longest, episodes, head, tail = row
    length = asked.span.end - asked.span.start
    known = compliant + exceeding
    return Compliance(
        county=one.key.county, works=one.key.works, point=one.key.point, parameter=one.key.parameter, period=asked.day,
        start=asked.span.start, end=asked.span.end, expected=round(length / (one.works.cadence_s * 1000)),
        received=int(received), usable=int(usable), met=int(met), compliant_ms=int(compliant), exceeding_ms=int(exceeding),
        unknown_ms=int(length - known), mean=integral / known if known else None,
        worst=None if worst_at < 0 else worst, worst_at=None if worst_at < 0 else int(worst_at),
        longest_ms=int(longest), episodes=int(episodes), head_ms=int(head), tail_ms=int(tail), findings=one.findings,
        limit_id=one.limit.id, standard=one.limit.standard, clause=one.limit.clause, basis=one.limit.basis,
        low=one.limit.min, high=one.limit.max, verdict=ComplianceVerdict.UNDECIDED,
    )  # fmt: skip
