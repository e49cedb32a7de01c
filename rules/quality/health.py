"""How far a sensor can be trusted, 0 to 100, why, and how long until it needs service. Pure.

A house scale, not a standard: points are taken off for what a technician would act on. Weights stand below; each reason is
handed out with the points it cost, so that a score can be read.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qingquan.domain.quality import Flagged, HandCheck, Health, HealthReason, QualityTest

__all__ = ["noise_growth", "sensor_health"]

DAY_MS = 86_400_000
LEAST_READINGS = 20
# Points for a share of 1: full loss long before, since one reading in four flagged is no usable sensor.
MISSING_POINTS, FAIL_POINTS, SUSPECT_POINTS = 100.0, 300.0, 120.0
MOST = {"missing": 60.0, "fail": 80.0, "suspect": 45.0}
DRIFT_POINTS, NOISE_POINTS, OVERDUE_POINTS, PRESENT_POINTS = 30.0, 15.0, 20.0, 60.0
NOISE_FROM = 2.0
BAD = 50
"""Below it the sensor needs service now."""
# Not the sensor's doing: what people do to it, what the network loses, what the water lacks.
_EXCUSED = int(QualityTest.MAINTENANCE | QualityTest.SAMPLE_FLOW)
_NAMED = tuple(test for test in QualityTest if test not in (
    QualityTest.MISSING, QualityTest.GAP, QualityTest.OUT_OF_ORDER, QualityTest.DUPLICATE, QualityTest.MAINTENANCE,
    QualityTest.SAMPLE_FLOW,
))  # fmt: skip


def sensor_health(
    point: str, parameter: str, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], flagged: Flagged, *,
    since: int, now: int, cadence_ms: int, references: Sequence[HandCheck] = (), serviced_at: int | None = None,
    service_days: float = 0.0,
) -> Health:  # fmt: skip
    """Health over the readings from ``since`` to ``now``.

    Parameters
    ----------
    times, values : (n,)
        Readings, ascending [ms]; NaN = missing.
    flagged : Flagged
        Their flags.
    cadence_ms : int
        Expected time between readings.
    references : sequence of HandCheck
        Values by hand or laboratory with the sensor's at that time; compared where the sensor reads mg/L.
    serviced_at, service_days
        When the sensor was calibrated last, where that is known, and how long a calibration holds [days]; 0 = not known.

    Returns
    -------
    Health
        Without a score where fewer than 20 readings came and something was expected of fewer than that: too little is known.
        A sensor that is silent though readings were expected has a score, a low one.
    """
    expected = max(0, (now - since) // max(1, cadence_ms))
    known = ~np.isnan(values)
    came = int(known.sum())
    if came < LEAST_READINGS and expected < LEAST_READINGS:
        return Health(point, parameter, None, None, (), came, int(expected))
    reasons = [*_absence(came, int(expected)), *_flag_reasons(flagged, known), *_noise_reason(times, values, flagged)]
    reasons += _present(flagged, known)
    drift, drift_days = _drift(references, now)
    reasons += drift
    due = _days_due(serviced_at, service_days, now)
    if due is not None and due <= 0:
        reasons.append(HealthReason("service_overdue", OVERDUE_POINTS, float(-due)))
    score = max(0, round(100 - sum(one.points for one in reasons)))
    days = [one for one in (due, drift_days) if one is not None]
    left = 0 if score < BAD else max(0, int(min(days))) if days else None
    ordered = tuple(sorted(reasons, key=lambda one: -one.points))
    return Health(point, parameter, score, left, ordered, came, int(expected))


def _absence(came: int, expected: int) -> list[HealthReason]:
    share = max(0.0, 1 - came / expected) if expected else 0.0
    # A few lost messages are the network's.
    return [HealthReason("missing", min(MOST["missing"], MISSING_POINTS * share), share)] if share > 0.05 else []


def _flag_reasons(flagged: Flagged, known: npt.NDArray[np.bool_]) -> list[HealthReason]:
    """One reason per test: its share of the readings, failing ones dearer than suspect ones."""
    total = max(1, int(known.sum()))
    own = known & ((flagged.tests & _EXCUSED) == 0)
    reasons = []
    for test in _NAMED:
        hit = own & ((flagged.tests & int(test)) != 0)
        failed, suspect = int((hit & (flagged.flag == 4)).sum()), int((hit & (flagged.flag == 3)).sum())
        if failed + suspect == 0:
            continue
        points = min(MOST["fail"], FAIL_POINTS * failed / total) + min(
            MOST["suspect"], SUSPECT_POINTS * suspect / total
        )
        reasons.append(HealthReason(test.word, points, (failed + suspect) / total))
    return reasons


def _present(flagged: Flagged, known: npt.NDArray[np.bool_]) -> list[HealthReason]:
    """A sensor that is faulty now is of no use, however good its week was."""
    own = np.flatnonzero(known & ((flagged.tests & _EXCUSED) == 0))[-LEAST_READINGS:]
    if len(own) < LEAST_READINGS:
        return []
    share = float((flagged.flag[own] >= 3).mean())
    return [HealthReason("faulty_now", PRESENT_POINTS, share)] if share >= 0.9 else []


def noise_growth(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], is_good: npt.NDArray[np.bool_]
) -> float | None:
    """Median step between good readings of the last day over that of the days before; ``None`` without enough of either."""
    at, good = times[is_good], values[is_good]
    if len(at) < 2:
        return None
    steps, when = np.abs(np.diff(good)), at[1:]
    recent = when > at[-1] - DAY_MS
    if recent.sum() < LEAST_READINGS or (~recent).sum() < LEAST_READINGS:
        return None
    before = float(np.median(steps[~recent]))
    return float(np.median(steps[recent])) / before if before > 0 else None


def _noise_reason(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], flagged: Flagged
) -> list[HealthReason]:
    growth = noise_growth(times, values, (flagged.flag == 1) & ~np.isnan(values))
    if growth is None or growth < NOISE_FROM:
        return []
    return [HealthReason("noise", min(NOISE_POINTS, NOISE_POINTS * (growth - 1) / 4), growth)]


def _drift(references: Sequence[HandCheck], now: int) -> tuple[list[HealthReason], float | None]:
    """Drift against hand and laboratory values: points by the median of the last three differences in tolerances; days until
    the tolerance is reached at the pace of the differences so far."""
    if not references:
        return [], None
    ordered = sorted(references, key=lambda one: one.at)
    ratios = np.array([one.ratio for one in ordered])
    latest = float(np.median(ratios[-3:]))
    reasons = (
        [HealthReason("drift", min(DRIFT_POINTS * 2, DRIFT_POINTS * abs(latest)), latest)] if abs(latest) > 1 else []
    )
    if abs(latest) > 1:
        return reasons, 0.0
    days = np.array([(one.at - now) / DAY_MS for one in ordered])
    if len(ordered) < 4 or days[-1] - days[0] < 7:
        return reasons, None
    slope, level = np.polyfit(days, ratios, 1)
    if abs(slope) < 1e-3:
        return reasons, None
    left = ((1.0 if slope > 0 else -1.0) - level) / slope
    return reasons, max(0.0, float(left)) if left < 365 else None


def _days_due(serviced_at: int | None, service_days: float, now: int) -> float | None:
    if serviced_at is None or service_days <= 0:
        return None
    return service_days - (now - serviced_at) / DAY_MS
