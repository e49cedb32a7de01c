"""One scorer for every detector: point-wise over all rows, no adjustment; episodes; false alerts. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Scores", "alerts", "average_precision", "f1_interval", "point_f1", "runs", "scored"]

MERGE_S = 3600
"""Alarm runs closer than this are one alert; an alert is false when no event lies within this of it."""

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """``delay_min``: median from an episode's first row to its first alarm row, of those found."""

    f1: float
    precision: float
    recall: float
    found: int
    episodes: int
    false_per_week: float
    delay_min: float
    average_precision: float


def scored(alarm: Mask, score: npt.NDArray[np.floating], is_event: Mask, times: Times) -> Scores:
    """Everything that is reported of a detector on a recording with labels."""
    hits = int((alarm & is_event).sum())
    delays = []
    episodes = runs(is_event)
    for first, last in episodes:
        inside = np.flatnonzero(alarm[first:last])
        if len(inside):
            delays.append(float(times[first + inside[0]] - times[first]) / 60)
    return Scores(
        point_f1(alarm, is_event), hits / max(1, int(alarm.sum())), hits / max(1, int(is_event.sum())), len(delays),
        len(episodes), false_alerts(alarm, is_event, times) / (float(times[-1] - times[0]) / 604_800),
        float(np.median(delays)) if delays else float("nan"), average_precision(score, is_event),
    )  # fmt: skip


def runs(mask: Mask) -> list[tuple[int, int]]:
    """(first, one past last) of every unbroken run of rows."""
    edges = np.diff(np.r_[0, mask.astype(np.int8), 0])
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def alerts(alarm: Mask, times: Times) -> list[tuple[int, int]]:
    """Alarm runs, those closer than `MERGE_S` merged."""
    merged: list[tuple[int, int]] = []
    for first, last in runs(alarm):
        if merged and times[first] - times[merged[-1][1] - 1] <= MERGE_S:
            merged[-1] = merged[-1][0], last
        else:
            merged.append((first, last))
    return merged


def false_alerts(alarm: Mask, is_event: Mask, times: Times) -> int:
    """Alerts with no event row within `MERGE_S` of them."""
    count = 0
    for first, last in alerts(alarm, times):
        low = np.searchsorted(times, times[first] - MERGE_S)
        high = np.searchsorted(times, times[last - 1] + MERGE_S, "right")
        count += not is_event[low:high].any()
    return count


def point_f1(alarm: Mask, is_event: Mask) -> float:
    """F1 over all rows; 0 where there is neither an alarm nor an event."""
    return 2 * int((alarm & is_event).sum()) / max(1, int(alarm.sum()) + int(is_event.sum()))


def average_precision(score: npt.NDArray[np.floating], is_event: Mask) -> float:
    """Mean precision at the event rows, best score first; rows of equal score enter together. NaN without events."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(is_event[order])
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    gained = np.diff(np.r_[0, hits[last]])
    return float((gained * hits[last] / (last + 1)).sum() / hits[-1]) if hits[-1] else float("nan")


def f1_interval(alarm: Mask, is_event: Mask, times: Times, draws: int = 2000, seed: int = 1) -> tuple[float, float]:
    """95 % of F1 when whole weeks are drawn with replacement. It leaves out what choosing a detector adds."""
    week = (times - times[0]) // 604_800
    counts = np.array(
        [
            np.bincount(week, one)
            for one in ((alarm & is_event).astype(float), alarm.astype(float), is_event.astype(float))
        ]
    )
    picked = np.random.default_rng(seed).integers(0, counts.shape[1], (draws, counts.shape[1]))
    hits, alarmed, real = counts[:, picked].sum(axis=2)
    f1 = 2 * hits / np.maximum(1, alarmed + real)
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)
