"""Everything computed about one works' disinfection, from its recent series and known facts. Pure; never judges the state itself.

The state machine decides that something is wrong; this says what it probably is, what to do first, and how much margin is left. What
cannot be told carries the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from qingquan.domain.contact_time import CtAgent, Organism
from qingquan.domain.disinfection import DisinfectionFacts
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.works import Disinfectant
from rules.contact_time import Inactivation, ct_achieved, inactivation, segment_by_regression, segment_by_table, t10
from rules.ct_required import CtTable, Values
from rules.decay import DecayFit, FitReason, expected_residual
from rules.decay_pairs import fit_decay_pairs, paired
from rules.residual_shape import ResidualPath, residual_path
from rules.stock import StockOutlook, StockReason, days_left, hypochlorite_strength
from rules.trend import Forecast, fall_below
from rules.verdict import LossFacts, LossVerdict, Stock, judge_loss

__all__ = [
    "Contact", "DecayOutlook", "History", "Outlook", "SegmentDelivered", "Strength", "Surroundings", "Unknown", "advise", "known_facts",
]  # fmt: skip

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SHAPE_MS = 12 * HOUR_MS
TREND_MS = 6 * HOUR_MS
STOCK_LOW_PERCENT = 15.0
STOCK_LOW_DAYS = 1.0
DEFAULT_STORE_C = 25.0
"""Where the store's temperature is not known: a warm one, so that strength is not overstated."""
HOLDOUT_MS = DAY_MS
"""The newest day is compared with the fit, so it is no part of it."""

_HYPOCHLORITE = (Disinfectant.FREE_CHLORINE, Disinfectant.CHLORAMINE)
_CONCERNED = (DisinfectionState.MISSING, DisinfectionState.LOW, DisinfectionState.UNKNOWN, DisinfectionState.HIGH)


@dataclass(frozen=True, slots=True)
class History:
    """A stretch of one series, oldest first: times [ms], values in the parameter's unit (NaN = missing)."""

    observed_at: Values = field(default_factory=lambda: np.empty(0))
    values: Values = field(default_factory=lambda: np.empty(0))

    def since(self, ms: float) -> "History":
        """The part not older than ``ms``."""
        kept = self.observed_at >= ms
        return History(self.observed_at[kept], self.values[kept])

    def newest(self, not_before: float) -> float | None:
        """The last value, unless it is missing or older than that."""
        good = np.flatnonzero(np.isfinite(self.values))
        if not len(good) or self.observed_at[good[-1]] < not_before:
            return None
        return float(self.values[good[-1]])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of a works at ``now`` [ms].

    ``residual`` raw readings of at least 12 h; ``hourly_residual`` and ``hourly_end`` two weeks by the hour; ``stock`` two weeks of
    level [%]; ``signals`` newest value of each other signal by parameter code, absent where none is fresh. ``floor``, ``low``
    (``None`` = no lower limit) and ``precision`` of the residual in its unit. ``flow_min`` [m3/h], ``stock_empty`` [%].
    """

    now: int
    state: DisinfectionState
    disinfectant: Disinfectant
    facts: DisinfectionFacts
    residual: History
    floor: float
    low: float | None
    precision: float
    fresh_ms: int
    hourly_residual: History = field(default_factory=History)
    hourly_end: History = field(default_factory=History)
    stock: History = field(default_factory=History)
    signals: Mapping[str, float] = field(default_factory=dict)
    flow_min: float = 0.05
    stock_empty: float = 1.0


class Unknown(StrEnum):
    """Why a section has no number."""

    NO_SEGMENTS = "no_segments"
    NO_RESIDUAL = "no_residual"
    NO_TABLE = "no_table"
    NO_TRAVEL_TIME = "no_travel_time"
    NO_END_READINGS = "no_end_readings"
    NO_DELIVERY = "no_delivery"
    NOT_HYPOCHLORITE = "not_hypochlorite"


@dataclass(frozen=True, slots=True)
class Strength:
    """Hypochlorite in store: delivered [ms], its strength then and now [g/L], at which temperature [degC], whether that was assumed."""

    delivered_at: int
    initial_g_l: float
    now_g_l: float | None
    age_days: float
    temperature_c: float
    is_assumed: bool


@dataclass(frozen=True, slots=True)
class SegmentDelivered:
    """What one contact segment delivers: T10 [min] and CT [mg·min/L]."""

    name: str
    t10_min: float
    ct: float


@dataclass(frozen=True, slots=True)
class Contact:
    """CT of the contact zone by table and, for Giardia by free chlorine, by regression. ``None`` = not for this disinfectant."""

    residual: float
    temperature: float | None
    ph: float | None
    segments: tuple[SegmentDelivered, ...]
    wanted: Mapping[Organism, float]
    by_table: Mapping[Organism, Inactivation]
    by_regression: Inactivation | None


@dataclass(frozen=True, slots=True)
class DecayOutlook:
    """Decay on the way to the network end, and the residual expected there now against the newest measured one [mg/L]."""

    fit: DecayFit
    hours: float
    outlet: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    measured: float | None = None
    measured_at: int | None = None

    @property
    def is_within(self) -> bool | None:
        """Whether what was measured lies where it was expected; ``None`` = nothing to compare."""
        if self.measured is None or self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True)
class Outlook:
    """All sections; one that has no number says why in ``unknown``. ``verdict`` only while the state asks for one."""

    path: ResidualPath
    known: LossFacts
    verdict: LossVerdict | None
    stock: StockOutlook
    strength: Strength | None
    contact: Contact | None
    decay: DecayOutlook | None
    forecast: Forecast | None
    unknown: Mapping[str, Unknown] = field(default_factory=dict)


def advise(known: Surroundings, tables: Mapping[tuple[CtAgent, Organism], CtTable]) -> Outlook:
    """Verdict, stock, strength, contact, decay and forecast of one works.

    Never raises for what the data are like: every section stands for itself. ``tables`` are the CT tables by agent and organism.
    """
    unknown: dict[str, Unknown] = {}
    path = residual_path(*_columns(known.residual.since(known.now - SHAPE_MS)), known.floor)
    stock = days_left(*_columns(known.stock), empty=known.stock_empty)
    facts = known_facts(known.signals, path, stock, known.flow_min)
    strength = _strength(known, unknown)
    contact = _contact(known, tables, unknown)
    decay = _decay(known, unknown)
    forecast = None
    if known.low is not None and known.state in (DisinfectionState.OK, DisinfectionState.IDLE):
        forecast = fall_below(*_columns(known.residual.since(known.now - TREND_MS)), known.low, known.precision)
    verdict = judge_loss(facts) if known.state in _CONCERNED else None
    return Outlook(path, facts, verdict, stock, strength, contact, decay, forecast, unknown)


def known_facts(
    signals: Mapping[str, float], path: ResidualPath, stock: StockOutlook | None = None, flow_min: float = 0.05
) -> LossFacts:
    """What the newest signals say, for the verdict. A signal that is not there stays unknown, never "no"."""
    level = signals.get("disinfectant_level")
    if level is None and stock is not None:
        level = stock.level
    return LossFacts(
        power=_is_on(signals.get("power")),
        flow=None if "flow" not in signals else signals["flow"] > flow_min,
        doser=_is_on(signals.get("doser_running")),
        sample_flow=_is_on(signals.get("sample_flow")),
        stock=_stock_word(level, stock),
        stock_falling=None if stock is None else {
            StockReason.NOT_FALLING: False, StockReason.ESTIMATED: True,
        }.get(stock.reason),
        shape=path.shape,
        service=_is_on(signals.get("maintenance")),
    )  # fmt: skip


def _is_on(value: float | None) -> bool | None:
    return None if value is None else value >= 0.5


def _stock_word(level: float | None, outlook: StockOutlook | None) -> Stock | None:
    if level is None:
        return None
    if level <= 1.0:
        return Stock.EMPTY
    is_short = outlook is not None and outlook.days is not None and outlook.days <= STOCK_LOW_DAYS
    return Stock.LOW if is_short or level <= STOCK_LOW_PERCENT else Stock.ENOUGH


def _strength(known: Surroundings, unknown: dict[str, Unknown]) -> Strength | None:
    if known.disinfectant not in _HYPOCHLORITE:
        unknown["strength"] = Unknown.NOT_HYPOCHLORITE
        return None
    arrived = [one for one in known.facts.deliveries if one.delivered_at <= known.now]
    if not arrived:
        unknown["strength"] = Unknown.NO_DELIVERY
        return None
    last = max(arrived, key=lambda one: one.delivered_at)
    age = (known.now - last.delivered_at) / DAY_MS
    given = known.facts.store_temperature_c
    celsius = DEFAULT_STORE_C if given is None else given
    left = float(hypochlorite_strength([last.strength_g_l], [age], [celsius])[0])
    return Strength(
        last.delivered_at, last.strength_g_l, left if np.isfinite(left) else None, age, celsius, given is None
    )


def _contact(
    known: Surroundings, tables: Mapping[tuple[CtAgent, Organism], CtTable], unknown: dict[str, Unknown]
) -> Contact | None:
    agent = CtAgent.of(known.disinfectant)
    if agent is None:
        unknown["contact"] = Unknown.NO_TABLE
        return None
    if not known.facts.segments:
        unknown["contact"] = Unknown.NO_SEGMENTS
        return None
    residual = known.residual.newest(known.now - known.fresh_ms)
    if residual is None:
        unknown["contact"] = Unknown.NO_RESIDUAL
        return None
    temperature, ph = known.signals.get("temperature"), known.signals.get("ph")
    warm, acid = (float("nan") if value is None else value for value in (temperature, ph))
    segments = known.facts.segments
    times = t10(
        [one.volume_m3 for one in segments],
        [one.peak_flow_m3_h for one in segments],
        [one.baffling_factor for one in segments],
    )
    delivered = ct_achieved(np.full(len(times), residual), times)
    shown = tuple(
        SegmentDelivered(one.name, float(minutes), float(ct))
        for one, minutes, ct in zip(segments, times, delivered, strict=True)
    )
    wanted = {
        Organism.GIARDIA: known.facts.giardia_log or 3.0,
        Organism.VIRUS: known.facts.virus_log or 4.0,
    }
    # One residual is measured, at the outlet, where it is least: earlier segments are credited with less than they had.
    by_table = {
        organism: inactivation(
            wanted[organism],
            [segment_by_table(tables[agent, organism], [residual], [minutes], [warm], [acid]) for minutes in times],
        )
        for organism in Organism
        if (agent, organism) in tables
    }
    regression = None
    if agent is CtAgent.FREE_CHLORINE:
        parts = [segment_by_regression([residual], [minutes], [warm], [acid]) for minutes in times]
        regression = inactivation(wanted[Organism.GIARDIA], parts)
    return Contact(residual, temperature, ph, shown, wanted, by_table, regression)


def _decay(known: Surroundings, unknown: dict[str, Unknown]) -> DecayOutlook | None:
    hours = known.facts.network_end_hours
    if hours is None or hours <= 0:
        unknown["decay"] = Unknown.NO_TRAVEL_TIME
        return None
    at, left, arrived = paired(*_columns(known.hourly_residual), *_columns(known.hourly_end), hours)
    if not len(at):
        unknown["decay"] = Unknown.NO_END_READINGS
        return None
    older = at < known.now - HOLDOUT_MS
    fit = fit_decay_pairs(left[older], arrived[older], hours)
    newest = DecayOutlook(fit, hours, float(left[-1]), measured=float(arrived[-1]), measured_at=int(at[-1]))
    if fit.reason is not FitReason.FITTED:
        return newest
    expected = expected_residual(fit, [left[-1]], [hours])
    return DecayOutlook(
        fit, hours, newest.outlet, float(expected.value[0]), float(expected.low[0]), float(expected.high[0]),
        newest.measured, newest.measured_at,
    )  # fmt: skip


def _columns(history: History) -> tuple[Values, Values]:
    return history.observed_at, history.values
