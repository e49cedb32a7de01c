"""`qingquan bench ingest`: MQTT at QoS 1 -> log -> judged and recorded, everything on one machine.

The clock runs from the first message sent until the evaluator has committed and the recorder has stored the last one.
Nothing may be lost: acknowledged = in the log = evaluated = recorded, in messages and in readings.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qingquan.config import Config
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.sender import Order, Sent, sending
from qingquan.services.bench.system import MeasuredSystem, measured_system

__all__ = ["run_ingest"]

WAIT_S = 600.0


def run_ingest(
    config: Config, works: int = 58_400, rounds: int = 11, *, step_ms: int = STEP_MS, folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:  # fmt: skip
    """Measure. Keys: `messages_per_s`, `readings_per_s`, `lost`, and what led to them.

    The readings are the last ``rounds`` steps before now, so none is in the future and none is silent.
    """
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        start_ms = config.clock.now_ms() - (rounds + 2) * step_ms
        load = Load(works, start_ms, step_ms=step_ms)
        with (
            measured_system(Path(name) / "data", load.register, config, say) as system,
            sending(system.config) as sender,
        ):
            say("预热 warming up")
            first = system.last_sequence()
            sender.prepare(Order(works, start_ms, step_ms, 0, 1))
            sender.go()
            warm = sender.result(WAIT_S)
            system.wait_covered(first + warm.acknowledged, WAIT_S)
            say(f"测量 measuring: {works} x {rounds}")
            sender.prepare(Order(works, start_ms, step_ms, 1, rounds))
            before, used = _taken(system), system.processor_s()
            at = system.last_sequence()
            sender.go()
            sent = sender.result(WAIT_S)
            judged_at, recorded_at = system.wait_covered(at + sent.acknowledged, WAIT_S)
            return _figures(system, sent, before, used, at, judged_at, recorded_at, works)


def _taken(system: MeasuredSystem) -> dict[str, int]:
    """Messages and readings that evaluator and recorder have taken so far."""
    evaluated, recorded = system.evaluated(), system.recorded()
    return {
        "evaluated": evaluated.get("evaluated.messages", 0),
        "recorded": recorded.messages,
        "evaluated_readings": evaluated.get("evaluated.readings", 0),
        "recorded_readings": recorded.readings,
    }


def _figures(
    system: MeasuredSystem, sent: Sent, before: dict[str, int], used: dict[str, float], at: int, judged_at: float,
    recorded_at: float, works: int,
) -> dict[str, object]:  # fmt: skip
    after = _taken(system)
    taken = {name: after[name] - before[name] for name in after}
    logged = system.last_sequence() - at
    took_s = max(judged_at, recorded_at) - sent.began_at
    readings = sent.acknowledged * len(PARAMETERS)
    lost = sum(
        abs(one)
        for one in (
            sent.published - sent.acknowledged, sent.acknowledged - logged, logged - taken["evaluated"],
            logged - taken["recorded"], readings - taken["evaluated_readings"], readings - taken["recorded_readings"],
        )
    )  # fmt: skip
    spent = {name: spent_s - used[name] for name, spent_s in system.processor_s().items()} | {
        "sender": sent.processor_s
    }
    return {
        "works": works,
        "seconds": round(took_s, 2),
        "messages_per_s": round(sent.acknowledged / took_s),
        "readings_per_s": round(readings / took_s),
        "lost": lost,
        "published": sent.published,
        "acknowledged": sent.acknowledged,
        "logged": logged,
        **taken,
        "acknowledged_per_s": round(sent.acknowledged / (sent.ended_at - sent.began_at)),
        "evaluated_per_s": round(sent.acknowledged / (judged_at - sent.began_at)),
        "recorded_per_s": round(sent.acknowledged / (recorded_at - sent.began_at)),
        "restarts": system.restarts() + sent.reconnects,
        "processor_us_per_message": {name: round(s * 1e6 / max(sent.acknowledged, 1), 1) for name, s in spent.items()},
        "rss_mb": system.memory_mb(),
        "measured_at": round(time.time()),
    }
