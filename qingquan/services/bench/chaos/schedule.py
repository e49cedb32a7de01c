"""The script of a run: which fault hits whom, after which share of the readings, and for how long. The seed decides alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["KINDS", "Cast", "Fault", "schedule"]

KINDS = ("kill", "stop", "cut", "full", "restart")
"""``kill`` -9, ``stop`` in its tracks and wake again, ``cut`` off the network, disk ``full``, ``restart`` (all of a kind at once)."""

# The last fault begins while there is still something to come.
FIRST, LAST = 0.06, 0.9
SECONDS = {"kill": (0.3, 4.0), "stop": (1.0, 7.0), "cut": (2.0, 8.0), "full": (1.5, 5.0), "restart": (0.5, 2.5)}
# An owner asleep or cut off for less than its lease has lost nothing: that must happen, and the other too.
LEASE_S = 3.0
MORE = 4


@dataclass(frozen=True, slots=True)
class Cast:
    """Who can be hit; names of processes. ``database`` is empty where the database is a file."""

    nodes: Sequence[str]
    evaluators: Sequence[str]
    recorders: Sequence[str]
    alerter: str
    database: str
    series: str
    """Server of the time series; empty where it is embedded in the recorder."""
    cuttable: Sequence[str]
    fillable: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind`` befalls ``target`` for ``for_s`` seconds once the share ``at`` of all messages is acknowledged."""

    at: float
    kind: str
    target: str
    for_s: float


def schedule(seed: int, cast: Cast) -> list[Fault]:
    """The faults of a seed in their order. Every seed has each kind at least once, and evaluators asleep and cut off for longer
    than a lease lasts."""
    chance = Random(seed)  # noqa: S311 - a script, not a secret
    must = [
        ("kill", chance.choice(cast.nodes)),
        ("kill", chance.choice(cast.evaluators)),
        ("kill", chance.choice(cast.recorders)),
        ("kill", cast.alerter),
        ("stop", chance.choice(cast.nodes)),
        ("stop", chance.choice(cast.evaluators)),
        ("stop", chance.choice(cast.recorders)),
        ("cut", chance.choice(cast.nodes)),
        ("restart", "broker"),
        ("restart", cast.database or "sqlite"),
    ]
    services = [*cast.evaluators, *cast.recorders]
    must += (
        [("cut", chance.choice([name for name in cast.cuttable if name in services]))]
        if cast.cuttable != cast.nodes
        else []
    )
    must += [("kill", cast.series)] if cast.series else []
    must += [("full", chance.choice(cast.fillable))] if cast.fillable else []
    everyone = [("kill", name) for name in (*cast.nodes, *services, cast.alerter)]
    everyone += [("stop", name) for name in (*cast.nodes, *services, cast.alerter)]
    everyone += [("cut", name) for name in cast.cuttable] + [("full", name) for name in cast.fillable]
    drawn = must + [chance.choice(everyone) for _ in range(MORE)]
    chance.shuffle(drawn)
    width = (LAST - FIRST) / len(drawn)
    return [
        Fault(round(FIRST + width * (n + chance.random()), 4), kind, target, _seconds(chance, kind, target, cast))
        for n, (kind, target) in enumerate(drawn)
    ]


def _seconds(chance: Random, kind: str, target: str, cast: Cast) -> float:
    low, high = SECONDS[kind]
    if kind in ("stop", "cut") and target in cast.evaluators and chance.random() < 0.7:
        low = LEASE_S + 1.0
    return round(chance.uniform(low, high), 2)
