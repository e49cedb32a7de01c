"""The same question asked both ways: what is chosen on one year, scored on the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.services.bench.accuracy.labelled import Recording
from qingquan.services.bench.accuracy.rivals import RIVALS, AlarmRule, alarm_rules, alarms
from qingquan.services.bench.accuracy.scoring import Scores, point_f1, scored
from qingquan.services.event_detection import detector_plan
from rules.events.detector import DetectorPlan, DetectorRows, SeriesFloor, new_state, scores_by_setting, step
from rules.events.settings import EventSetting

__all__ = [
    "BEST",
    "DRAWS",
    "SEEDS",
    "CrossYear",
    "frozen_plan",
    "rivals_crossed",
    "vote_crossed",
    "voted",
    "with_floors",
]

SEEDS = (1, 2, 3)
DRAWS = 300
"""Settings drawn per seed."""
BEST = 25
BLOCK = 75

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CrossYear:
    """``method`` chosen on ``chosen_on``: own F1 there, scores on the other year."""

    method: str
    chosen_on: int
    own_f1: float
    other: Scores


def frozen_plan(recording: Recording) -> DetectorPlan:
    """The plan that `qingquan detect` uses for these columns."""
    return detector_plan(recording.mapping)[0]


def with_floors(plan: DetectorPlan, factor: float, parameter: str = "") -> DetectorPlan:
    """The same with the floors multiplied: all, or those of one parameter."""
    floors = tuple(
        SeriesFloor(one.floor * (factor if column.endswith(parameter) else 1.0), one.relative)
        for column, one in zip(plan.columns, plan.floors, strict=True)
    )
    return DetectorPlan(plan.columns, floors, plan.settings)


def voted(recording: Recording, plan: DetectorPlan) -> tuple[Mask, npt.NDArray[np.float32]]:
    """Alarm rows and scores of a plan."""
    verdicts = step(_rows(recording), new_state(plan), plan)
    return verdicts.event, verdicts.score


def vote_crossed(years: Mapping[int, Recording], say: Callable[[str], None]) -> list[CrossYear]:
    """Random settings of the vote's state machine: best single one, majority of the best, majority of all, per seed."""
    found = []
    for seed in SEEDS:
        say(f"{DRAWS} settings, seed {seed}")
        rng = np.random.default_rng(seed)
        settings = tuple(_drawn(rng) for _ in range(DRAWS))
        alarm = {year: _alarms_by_setting(one, settings) for year, one in years.items()}
        f1 = {
            year: np.array([point_f1(alarm[year][:, g], one.is_event) for g in range(DRAWS)])
            for year, one in years.items()
        }
        for here, other in _both_ways(years):
            best = np.argsort(-f1[here], kind="stable")
            for name, picked in (
                ("best single", best[:1]),
                (f"majority of the {BEST} best", best[:BEST]),
                ("majority of all", best),
            ):
                own = point_f1(alarm[here][:, picked].mean(axis=1) > 0.5, years[here].is_event)
                share = alarm[other][:, picked].mean(axis=1)
                scores = scored(share > 0.5, share, years[other].is_event, years[other].times)
                found.append(CrossYear(f"{name}, seed {seed}", here, own, scores))
    return found


def rivals_crossed(years: Mapping[int, Recording], say: Callable[[str], None]) -> list[CrossYear]:
    """Each rival with the alarm rule that did best on one year, scored on the other."""
    found = []
    floors = {year: np.array([floor.floor for floor in frozen_plan(one).floors]) for year, one in years.items()}
    for name, variants in RIVALS.items():
        say(name)
        scores = {year: [detect(one.values, floors[year]) for detect in variants] for year, one in years.items()}
        for here, other in _both_ways(years):
            own, number, rule = _best_rule(scores[here], years[here])
            score = scores[other][number]
            judged = scored(alarms(score, rule), score, years[other].is_event, years[other].times)
            found.append(CrossYear(name, here, own, judged))
    return found


def _best_rule(scores: Sequence[Values], recording: Recording) -> tuple[float, int, AlarmRule]:
    """Best F1, with the variant and the rule that gave it."""
    tried = (
        (point_f1(alarms(score, rule), recording.is_event), number, rule)
        for number, score in enumerate(scores)
        for rule in alarm_rules(score)
    )
    return max(tried, key=lambda one: one[0])


def _both_ways(years: Mapping[int, Recording]) -> list[tuple[int, int]]:
    first, second = years
    return [(second, first), (first, second)]


def _rows(recording: Recording) -> DetectorRows:
    return DetectorRows.of_one_works(recording.times * 1000, recording.values)


def _alarms_by_setting(recording: Recording, settings: tuple[EventSetting, ...]) -> Mask:
    plan = frozen_plan(recording)
    parts = []
    for first in range(0, len(settings), BLOCK):
        part = DetectorPlan(plan.columns, plan.floors, settings[first : first + BLOCK])
        parts.append(scores_by_setting(_rows(recording), new_state(part), part) >= 1.0)
    return np.concatenate(parts, axis=1)


def _drawn(rng: np.random.Generator) -> EventSetting:
    """A setting from wide ranges around the frozen ones."""
    u = rng.uniform
    return EventSetting(
        sensitivity=u(6, 14), memory_s=u(300, 1800), clip=u(1.5, 4), leave=u(0.6, 0.95),
        leave_s=float(rng.choice([105, 165, 225, 285])), hold_s=u(900, 2700), hold_power=u(0.8, 1.4),
        hold_max_s=u(7200, 21_600), settle_s=u(3600, 14_400), settle_rise=u(0.5, 1.5),
        scale_rate=float(rng.choice([2e-4, 5e-4, 1e-3])),
    )  # fmt: skip
