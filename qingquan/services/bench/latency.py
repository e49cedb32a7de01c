"""`qingquan bench latency`: from the moment a device publishes to the alert in the outbox, under a steady load.

Each alarm has a works of its own, whose residual has been at the floor for just less than the time MISSING takes; the one
reading that completes it is published at a planned moment. Seen is what another process sees: the clock stops
when a reader of the database finds the outbox row committed.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.services.bench.alarms import OutboxWatch, at_floor, delays, told, topic
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.sender import Order, Timed, sending
from qingquan.services.bench.system import MeasuredSystem, TooSlow, measured_system
from qingquan.services.rulesets import load_ruleset

__all__ = ["SET_UP_S", "completing", "leading_up", "run_latency", "wait_until"]

WAIT_S = 60.0
# Between two looks at the outbox.
LOOK_S = 0.004
# The alarms begin when the load is under way, and are not in step with anything.
LEAD_S = 3.0
READINGS_PER_S = 5_000


def run_latency(
    config: Config, works: int = 5_840, alarms: int = 120, seconds: float = 30.0, *,
    readings_per_s: int = READINGS_PER_S, folder: Path | None = None, say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:  # fmt: skip
    """Measure. Keys: `p50_ms`, `p99_ms`, `lost` (alarms that never came), the rest of the distribution."""
    rate = readings_per_s / len(PARAMETERS)
    rounds = max(1, -(-round(rate * (seconds + LEAD_S + 1)) // works))
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        load = Load(works + alarms, config.clock.now_ms(), step_ms=STEP_MS)
        # The works of the alarms stand at the end of the register and take no part in the load.
        struck = [told(one) for one in load.register[works:]]
        register = [*load.register[:works], *struck]
        with measured_system(Path(name) / "data", register, config, say) as system, sending(system.config) as sender:
            say("预热 warming up")
            first = system.last_sequence()
            began_ms = config.clock.now_ms()
            sender.prepare(Order(works, began_ms, STEP_MS, 0, 1, rate=1e6))
            sender.go(tuple(leading_up(struck, began_ms, seconds, config)))
            warm = sender.result(WAIT_S)
            system.wait_covered(first + warm.acknowledged, WAIT_S)
            say(f"测量 measuring: {alarms} alarms, {readings_per_s} readings/s")
            timed = tuple(completing(struck, began_ms, seconds))
            sender.prepare(Order(works, began_ms, STEP_MS, 1, rounds, rate=rate))
            wait_until(began_ms / 1000 + SET_UP_S)
            sender.go(timed)
            with OutboxWatch(system.engine, {one.id for one in struck}, LOOK_S) as watch:
                seen = watch.wait(seconds + LEAD_S + WAIT_S)
            sent = sender.result(WAIT_S)
            published = dict(zip((one.id for one in struck), sent.timed_at, strict=True))
            return _figures(seen, published, sent.acknowledged, sent.ended_at - sent.began_at, system)


# The measurement starts so long after the readings that lead to the alarms were stamped [s].
SET_UP_S = 8.0


def _moments(count: int, seconds: float) -> npt.NDArray[np.float64]:
    """When each alarm is completed, from the start [s]: evenly spread, each at a random place in its share."""
    share = seconds / count
    return LEAD_S + share * (np.arange(count) + np.random.default_rng(7).random(count))


def _completed_at(began_ms: int, after_s: float) -> int:
    return began_ms + round((SET_UP_S + after_s) * 1000)


def leading_up(struck: list[Works], began_ms: int, seconds: float, config: Config) -> Iterator[Timed]:
    """For each works, a buffered upload that keeps the residual at the floor until a minute before the alarm is due."""
    for_ms = load_ruleset(config).disinfection.missing_floor_for_ms
    for one, after_s in zip(struck, _moments(len(struck), seconds).tolist(), strict=True):
        due = _completed_at(began_ms, after_s)
        readings = [at_floor(at) for at in range(due - for_ms, due - STEP_MS // 2, STEP_MS)]
        yield Timed(0.0, topic(one), json.dumps(readings).encode())


def completing(struck: list[Works], began_ms: int, seconds: float) -> Iterator[Timed]:
    """For each works, the reading that completes its alarm, at its moment."""
    for one, after_s in zip(struck, _moments(len(struck), seconds).tolist(), strict=True):
        yield Timed(after_s, topic(one), json.dumps(at_floor(_completed_at(began_ms, after_s))).encode())


def wait_until(at: float) -> None:
    """Until a moment [s of `time.time`]."""
    time.sleep(max(0.0, at - time.time()))


def _figures(
    seen: Mapping[str, float], published: Mapping[str, float], acknowledged: int, took_s: float, system: MeasuredSystem
) -> dict[str, object]:
    try:
        figures = delays(seen, published)
    except ValueError as error:
        raise TooSlow(f"{error}; see {system.config.data_path / 'log'}") from error
    return {
        **figures,
        "messages_per_s": round(acknowledged / took_s),
        "readings_per_s": round(acknowledged * len(PARAMETERS) / took_s),
        "restarts": system.restarts(),
        "rss_mb": system.memory_mb(),
    }
