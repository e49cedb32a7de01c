"""Fault or loss: what most likely stands behind a low residual, and what to do next. Pure.

A table of cases, first match wins. The order is the safe one: what proves a loss comes before what suggests a fault of the
sensor, so a broken pump with a broken sensor is a loss. A case matches only on facts that are known; what is not known
never speaks for the sensor. No verdict closes or softens an alarm: it says where to look first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from rules.residual_shape import ResidualShape

__all__ = ["CASES", "Case", "Cause", "Leaning", "LossFacts", "LossVerdict", "Stock", "judge_loss"]


class Leaning(StrEnum):
    """Which way the evidence leans. UNDECIDED is acted on as a loss."""

    LOSS = "loss"
    SENSOR = "sensor"
    IDLE = "idle"
    UNDECIDED = "undecided"


class Cause(StrEnum):
    """What most likely happened."""

    POWER_CUT_WATER_FLOWS = "power_cut_water_flows"
    POWER_CUT = "power_cut"
    NO_FLOW = "no_flow"
    DOSER_STOPPED = "doser_stopped"
    STOCK_EMPTY = "stock_empty"
    NO_SAMPLE_FLOW = "no_sample_flow"
    NOT_DELIVERING = "not_delivering"
    SENSOR_STEP = "sensor_step"
    SENSOR_FROZEN = "sensor_frozen"
    SENSOR_STARVED = "sensor_starved"
    RUNNING_OUT = "running_out"
    SLOW_DECLINE = "slow_decline"
    FAST_LOSS = "fast_loss"
    SERVICE = "service"
    UNEXPLAINED_STEP = "unexplained_step"
    UNEXPLAINED = "unexplained"


class Stock(StrEnum):
    """What is left of the disinfectant."""

    EMPTY = "empty"
    LOW = "low"
    ENOUGH = "enough"


@dataclass(frozen=True, slots=True)
class LossFacts:
    """What is known when a residual is low or gone; ``None`` = not known, never "no".

    ``power``, ``flow`` (water leaves the works), ``doser`` (running), ``sample_flow`` (through the measuring cell) as the newest
    good readings have them. ``stock`` by its level, ``stock_falling`` by `rules.stock.days_left` (``False`` =
    NOT_FALLING). ``shape`` by `rules.residual_shape.residual_path`. ``service`` = calibration or maintenance was logged in the last
    2 h. ``days_without`` = days the water carried no residual before dosing came back, 0 for none.
    """

    power: bool | None = None
    flow: bool | None = None
    doser: bool | None = None
    sample_flow: bool | None = None
    stock: Stock | None = None
    stock_falling: bool | None = None
    shape: ResidualShape = ResidualShape.UNKNOWN
    service: bool | None = None
    days_without: float | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what is not known and would have helped."""
        return tuple(
            field.name
            for field in fields(self)
            if field.name in _TELLING and getattr(self, field.name) in (None, ResidualShape.UNKNOWN)
        )


_TELLING = frozenset({"power", "flow", "doser", "sample_flow", "stock", "shape"})


@dataclass(frozen=True, slots=True)
class Case:
    """One row: facts that must all be as given (a tuple of values = any of them), and what follows."""

    when: Mapping[str, object]
    cause: Cause
    leaning: Leaning
    act_within_h: float


@dataclass(frozen=True, slots=True)
class LossVerdict:
    """Cause, which way it leans, in how many hours someone must act, and which facts were wanting."""

    cause: Cause
    leaning: Leaning
    act_within_h: float
    missing: tuple[str, ...]


_LOST = (ResidualShape.STEP_TO_FLOOR, ResidualShape.FAST_FALL, ResidualShape.AT_FLOOR)

CASES: tuple[Case, ...] = (
    Case({"flow": False}, Cause.NO_FLOW, Leaning.IDLE, 24),
    Case({"power": False, "flow": True}, Cause.POWER_CUT_WATER_FLOWS, Leaning.LOSS, 0.5),
    Case({"power": False}, Cause.POWER_CUT, Leaning.UNDECIDED, 1),
    Case({"doser": False}, Cause.DOSER_STOPPED, Leaning.LOSS, 0.5),
    Case({"stock": Stock.EMPTY}, Cause.STOCK_EMPTY, Leaning.LOSS, 0.5),
    Case({"doser": True, "stock_falling": False, "shape": (*_LOST, ResidualShape.SLOW_FALL)},
         Cause.NOT_DELIVERING, Leaning.LOSS, 1),
    Case({"sample_flow": False}, Cause.NO_SAMPLE_FLOW, Leaning.SENSOR, 2),
    Case({"service": True, "shape": _LOST}, Cause.SERVICE, Leaning.SENSOR, 2),
    Case({"doser": True, "flow": True, "shape": ResidualShape.STEP_TO_FLOOR}, Cause.SENSOR_STEP, Leaning.SENSOR, 2),
    Case({"shape": ResidualShape.FROZEN}, Cause.SENSOR_FROZEN, Leaning.SENSOR, 2),
    Case({"stock": Stock.LOW, "shape": (ResidualShape.SLOW_FALL, ResidualShape.FAST_FALL)},
         Cause.RUNNING_OUT, Leaning.LOSS, 1),
    Case({"shape": ResidualShape.SLOW_FALL, "stock": Stock.ENOUGH}, Cause.SLOW_DECLINE, Leaning.LOSS, 2),
    Case({"shape": ResidualShape.SLOW_FALL}, Cause.RUNNING_OUT, Leaning.LOSS, 1),
    Case({"doser": True, "flow": True, "shape": ResidualShape.FAST_FALL}, Cause.FAST_LOSS, Leaning.LOSS, 1),
    Case({"shape": ResidualShape.STEP_TO_FLOOR}, Cause.UNEXPLAINED_STEP, Leaning.UNDECIDED, 1),
    Case({}, Cause.UNEXPLAINED, Leaning.UNDECIDED, 1),
)  # fmt: skip
"""First match wins; the last row matches everything, so there is always a verdict."""

STARVED_AFTER_DAYS = 2.0


def judge_loss(facts: LossFacts) -> LossVerdict:
    """The first case that the known facts meet.

    Parameters
    ----------
    facts : LossFacts
        What is known about works, dosing and the residual's last hours.

    Returns
    -------
    LossVerdict
        Never ``None``: without facts it is UNEXPLAINED, to be treated as a loss.

    Notes
    -----
    A cell that had no chlorine for two days answers low for hours after dosing is back; with pump and flow on and nothing else
    wrong that is said instead of an unexplained or a frozen low.

    Examples
    --------
    >>> judge_loss(LossFacts(flow=True, doser=True, shape=ResidualShape.STEP_TO_FLOOR)).cause
    <Cause.SENSOR_STEP: 'sensor_step'>
    >>> judge_loss(LossFacts(flow=True, doser=False, shape=ResidualShape.STEP_TO_FLOOR)).cause
    <Cause.DOSER_STOPPED: 'doser_stopped'>
    """
    case = next(
        case for case in CASES if all(_meets(getattr(facts, name), wanted) for name, wanted in case.when.items())
    )
    if case.cause in (Cause.UNEXPLAINED, Cause.SENSOR_FROZEN) and _is_starved(facts):
        return LossVerdict(Cause.SENSOR_STARVED, Leaning.SENSOR, 2, facts.missing)
    return LossVerdict(case.cause, case.leaning, case.act_within_h, facts.missing)


def _meets(found: object, wanted: object) -> bool:
    return found in wanted if isinstance(wanted, tuple) else found is wanted


def _is_starved(facts: LossFacts) -> bool:
    is_dosing = facts.doser is True and facts.flow is True
    return is_dosing and facts.days_without is not None and facts.days_without >= STARVED_AFTER_DAYS
