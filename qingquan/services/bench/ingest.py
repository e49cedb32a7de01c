"""`qingquan bench ingest`: MQTT at QoS 1 -> log -> judged and recorded, everything on one machine.

The clock runs from the first message sent until the evaluator has committed and the recorder has stored the last one.
Nothing may be lost: acknowledged = in the log = evaluated = recorded, in messages and in readings.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from qingquan.config import Config
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.sender import Order, Sent, sending
from qingquan.services.bench.system import MeasuredSystem, Taken, measured_system

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
            before, used = system.taken(), system.processor_s()
            sender.go()
            sent = sender.result(WAIT_S)
            judged_at, recorded_at = system.wait_covered(before.logged + sent.acknowledged, WAIT_S)
            return _figures(system, sent, before, used, judged_at, recorded_at, works)


def _figures(
    system: MeasuredSystem, sent: Sent, before: Taken, used: dict[str, float], judged_at: float, recorded_at: float,
    works: int,
) -> dict[str, object]:  # fmt: skip
    taken = system.taken().since(before)
    took_s = max(judged_at, recorded_at) - sent.began_at
    readings = sent.acknowledged * len(PARAMETERS)
    spent = {name: spent_s - used[name] for name, spent_s in system.processor_s().items()} | {
        "sender": sent.processor_s
    }
    return {
        "works": works,
        "seconds": round(took_s, 2),
        "messages_per_s": round(sent.acknowledged / took_s),
        "readings_per_s": round(readings / took_s),
        "lost": taken.lost(sent.published, sent.acknowledged, readings),
        "published": sent.published,
        "acknowledged": sent.acknowledged,
        **asdict(taken),
        "acknowledged_per_s": round(sent.acknowledged / (sent.ended_at - sent.began_at)),
        "evaluated_per_s": round(sent.acknowledged / (judged_at - sent.began_at)),
        "recorded_per_s": round(sent.acknowledged / (recorded_at - sent.began_at)),
        "restarts": system.restarts() + sent.reconnects,
        "processor_us_per_message": {name: round(s * 1e6 / max(sent.acknowledged, 1), 1) for name, s in spent.items()},
        "rss_mb": system.memory_mb(),
        "measured_at": round(time.time()),
    }
